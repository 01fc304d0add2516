"""Box plots of squared errors, as in Figs 2 to 4 of the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.units import FloatArray
from kuppens.cells import SCALE, SHOWN, UNIT, Errors
from kuppens.text import Groups

COLOURS = {
    "ncde": "#1f77b4",
    "lsq": "#ff7f0e",
    "mlp": "#2ca02c",
    "kuppens2025": "#9467bd",
    "bayes": "#7f7f7f",
    "constant": "#d0b090",
}


def draw(panels: Sequence[tuple[str, Groups]], model: str, title: str, path: Path) -> None:
    """Write box plots, a line per panel and a column per quantity; all side by side for one quantity."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    quantities = SHOWN[model]
    lines, columns = (len(panels), len(quantities)) if len(quantities) > 1 else (1, len(panels))
    size = (1.5 + 4.2 * columns, 1.5 + 2.5 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    axes = axes.reshape(len(panels), len(quantities))
    for line, (name, groups) in zip(axes, panels, strict=True):
        for axis, quantity in zip(line, quantities, strict=True):
            _boxes(axis, groups, quantity)
            axis.set_title(f"{name}, {UNIT[quantity]}", fontsize=9)
    rows = [row for row in COLOURS if any(row in errors.error for _, g in panels for _, errors in g)]
    patches = [mpl.patches.Patch(color=COLOURS[row], label=row) for row in rows]
    figure.legend(handles=patches, loc="lower center", ncols=len(patches), frameon=False)
    figure.suptitle(
        f"{title}: squared error; box quartiles, line median, whiskers 5-95 %, circle mean", fontsize=10
    )
    figure.tight_layout(rect=(0, 0.3 / size[1], 1, 1))
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _boxes(axis: Any, groups: Groups, quantity: str) -> None:
    rows = [row for row in COLOURS if any(_squared(errors, row, quantity).size for _, errors in groups)]
    width = 0.8 / max(len(rows), 1)
    for i, row in enumerate(rows):
        for place, (_, errors) in enumerate(groups):
            squared = _squared(errors, row, quantity)
            if not squared.size:
                continue
            low, first, middle, third, high = np.percentile(squared, [5, 25, 50, 75, 95])
            box = {
                "whislo": low,
                "q1": first,
                "med": middle,
                "q3": third,
                "whishi": high,
                "mean": squared.mean(),
            }
            axis.bxp(
                [box],
                positions=[place + (i - (len(rows) - 1) / 2) * width],
                widths=0.8 * width,
                showfliers=False,
                showmeans=True,
                patch_artist=True,
                manage_ticks=False,
                boxprops={"facecolor": COLOURS[row], "linewidth": 0.5},
                medianprops={"color": "black", "linewidth": 0.8},
                whiskerprops={"linewidth": 0.5},
                capprops={"linewidth": 0.5},
                meanprops={
                    "marker": "o",
                    "markersize": 3,
                    "markerfacecolor": "white",
                    "markeredgecolor": "black",
                },
            )
    axis.set_yscale("log")
    axis.set_xticks(range(len(groups)), [label.split()[-1] for label, _ in groups], fontsize=8)
    axis.set_xlabel("SNR" if groups[0][0].startswith("SNR") else "measurements", fontsize=8)
    axis.tick_params(axis="y", labelsize=7)


def _squared(errors: Errors, row: str, quantity: str) -> FloatArray:
    if row not in errors.error:
        return np.empty(0)
    error = SCALE.get(quantity, 1.0) * errors.error[row][quantity]
    return error[np.isfinite(error)] ** 2
