"""Markdown of the measured errors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from kuppens.cells import SCALE, SHOWN, UNIT, Errors
from kuppens.stats import Ratio, accuracy, ratio

Groups = list[tuple[str, Errors]]
"""Labels with the errors they stand for, in the order of the table."""


def by_snr(errors: Errors) -> Groups:
    return [(f"SNR {snr:g}", errors.pick(errors.snr == snr)) for snr in np.unique(errors.snr)]


def by_label_and_snr(cells: Iterable[Errors]) -> Groups:
    return [(f"{cell.label[0]}, {label}", part) for cell in cells for label, part in by_snr(cell)]


def accuracy_table(groups: Groups, model: str) -> list[str]:
    """Return the squared errors of all estimators, a table per quantity."""
    lines = []
    for quantity in SHOWN[model]:
        lines += [
            f"**{UNIT[quantity]}**",
            "",
            "| | estimator | curves | MSE | median SE | quartiles of SE | bias | variance | MSE ÷ lsq "
            "| MSE ÷ bayes | own sd ÷ prior sd | coverage of ± sd |",
            "|" + "---|" * 12,
        ]
        for label, errors in groups:
            for row in (r for r in errors.error if not r.startswith("ncde-seed")):
                lines += _accuracy_line(label, errors, row, quantity)
        lines.append("")
    return lines


def _accuracy_line(label: str, errors: Errors, row: str, quantity: str) -> list[str]:
    a = accuracy(errors, row, quantity)
    if a is None:
        return []
    scale = SCALE.get(quantity, 1.0)
    squared = [f"{scale**2 * x:.3g}" for x in (a.mean, a.median)]
    quartiles = f"{scale**2 * a.lower:.2g}-{scale**2 * a.upper:.3g}"
    name = row if a.missing == 0 else f"{row} ({a.missing:.1%} without answer)"
    ratios = [
        text(None if row == other else ratio(errors, row, other, quantity)) for other in ("lsq", "bayes")
    ]
    own = ["-" if np.isnan(x) else f"{x:.2f}" for x in (a.spread, a.covered)]
    cells = [
        label,
        name,
        f"{a.count}",
        *squared,
        quartiles,
        f"{scale * a.bias:+.2g}",
        f"{scale**2 * a.variance:.3g}",
    ]
    return [f"| {' | '.join([*cells, *ratios, *own])} |"]


def ratio_table(groups: Groups, model: str) -> list[str]:
    """Return the mean squared errors of all estimators over that of lsq, a line per group and quantity."""
    rows = [row for row, asked in groups[0][1].asked.items() if row != "lsq" and asked.any()]
    lines = [
        f"| | | MSE lsq | {' | '.join(f'{row} ÷ lsq' for row in rows)} "
        "| ncde ÷ bayes | sd(bayes) ÷ prior sd |",
        "|" + "---|" * (len(rows) + 5),
    ]
    for label, errors in groups:
        for quantity in SHOWN[model]:
            base, oracle = accuracy(errors, "lsq", quantity), accuracy(errors, "bayes", quantity)
            if base is None:
                continue
            cells = [label, UNIT[quantity], f"{SCALE.get(quantity, 1.0) ** 2 * base.mean:.3g}"]
            cells += [text(ratio(errors, row, "lsq", quantity)) for row in rows]
            cells += [
                text(ratio(errors, "ncde", "bayes", quantity)),
                "-" if oracle is None else f"{oracle.spread:.2f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def text(value: Ratio | None) -> str:
    return "-" if value is None else str(value)


def identifiability(errors: Errors, shares: Sequence[float] = (0.03, 0.08, 0.13, 0.18, 0.25)) -> list[str]:
    """Return posterior over prior standard deviation of D* by SNR and perfusion fraction."""
    spans = list(itertools.pairwise(shares))
    lines = [
        f"| | {' | '.join(f'f {low:g}-{high:g}' for low, high in spans)} |",
        "|" + "---|" * (len(spans) + 1),
    ]
    for label, part in by_snr(errors):
        f, sd = part.truth["f"], part.sd["bayes"]["dstar"]
        values = [sd[(f >= low) & (f < high) & np.isfinite(sd)] for low, high in spans]
        cells = [f"{np.sqrt(np.mean(v**2)) / part.prior_sd['dstar']:.2f}" if v.size else "-" for v in values]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, ""]


def coverage_table(groups: Groups, model: str) -> list[str]:
    """Return how often the truth lies within the own standard deviation of every estimator."""
    rows = [row for row, sd in groups[0][1].sd.items() if any(np.isfinite(v).any() for v in sd.values())]
    lines = [f"| | | {' | '.join(rows)} |", "|" + "---|" * (len(rows) + 2)]
    for label, errors in groups:
        for quantity in SHOWN[model]:
            found = [accuracy(errors, row, quantity) for row in rows]
            cells = ["-" if a is None or np.isnan(a.covered) else f"{a.covered:.3f}" for a in found]
            lines.append(f"| {label} | {UNIT[quantity]} | {' | '.join(cells)} |")
    return [*lines, ""]
