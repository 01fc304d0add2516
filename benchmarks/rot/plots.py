"""Fig. 5 of Rot et al. for all estimators: arrows of bias, standard deviations, scatter about the fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rot.grid import Grid
from rot.rows import QUANTITIES, SYMBOL

PAIRS = ((0, 1), (2, 0), (2, 1))
"""Quantities across and up, by their place in `QUANTITIES`."""

SHOWN = ("lsq", "mle", "nnmle", "nngt", "composite", "ncde")
COLOUR = dict(zip(SHOWN, ("#444444", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"), strict=True))
SCATTERED = ("nnmle", "nngt", "composite", "ncde")
POINTS = 4_000


def draw(grid: Grid, folder: Path) -> None:
    """Write ``rot2025-bias.png``, ``rot2025-sd.png`` and ``rot2025-scatter.png``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in SHOWN if row in grid.estimates]
    for name, make in (("bias", _bias), ("sd", _sd), ("scatter", _scatter)):
        figure = make(plt, grid, rows)
        figure.savefig(folder / f"rot2025-{name}.png", dpi=110)
        plt.close(figure)


def _bias(plt: Any, grid: Grid, rows: list[str]) -> Any:
    """Arrows from the truth to the mean estimate, averaged over the third quantity."""
    figure, axes = plt.subplots(
        len(PAIRS), len(rows), figsize=(2.6 * len(rows), 7.5), squeeze=False, layout="constrained"
    )
    for column, row in enumerate(rows):
        bias = grid.bias(row)
        for axis, (across, up) in zip(axes[:, column], PAIRS, strict=True):
            points, place = np.unique(grid.truth[[across, up]], axis=1, return_inverse=True)
            counts = np.bincount(place)
            arrow = [np.bincount(place, bias[i]) / counts for i in (across, up)]
            axis.quiver(
                *points,
                *arrow,
                angles="xy",
                scale_units="xy",
                scale=1,
                width=0.006,
                color=COLOUR[row],
            )
            axis.set(xlim=(0, 0.5 if across == 2 else 1), ylim=(0, 1))
            axis.set_xlabel(SYMBOL[QUANTITIES[across]])
            if column == 0:
                axis.set_ylabel(SYMBOL[QUANTITIES[up]])
        axes[0, column].set_title(row)
    return figure


def _sd(plt: Any, grid: Grid, rows: list[str]) -> Any:
    """Standard deviation of every quantity over its own truth, averaged over the other two."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for i, axis in enumerate(axes):
        values, place = np.unique(grid.truth[i], return_inverse=True)
        for row in rows:
            mean = np.bincount(place, grid.sd(row)[i]) / np.bincount(place)
            axis.plot(values, mean, "o-", markersize=3, color=COLOUR[row], label=row)
        axis.set(xlabel=f"true {SYMBOL[QUANTITIES[i]]}", ylabel="standard deviation", ylim=(0, None))
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _scatter(plt: Any, grid: Grid, rows: list[str]) -> Any:
    """Estimates of the networks against those of least squares, some of them."""
    shown = [row for row in SCATTERED if row in rows]
    figure, axes = plt.subplots(
        len(shown), 3, figsize=(8.4, 2.7 * len(shown)), squeeze=False, layout="constrained"
    )
    fits = grid.estimates["lsq"].reshape(3, -1)
    chosen = np.random.default_rng(0).choice(fits.shape[1], min(POINTS, fits.shape[1]), replace=False)
    for row, line in zip(shown, axes, strict=True):
        for i, axis in enumerate(line):
            answers = grid.estimates[row].reshape(3, -1)
            axis.plot(fits[i, chosen], answers[i, chosen], ".", markersize=1.5, alpha=0.4, color=COLOUR[row])
            axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
            axis.set(xlabel=f"{SYMBOL[QUANTITIES[i]]}, lsq", ylabel=f"{SYMBOL[QUANTITIES[i]]}, {row}")
            axis.set_aspect("equal")
    return figure
