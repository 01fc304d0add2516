"""All that was measured, and the questions that claims and verdicts ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kuppens.cells import SHOWN, Errors, joined
from kuppens.designs import LENGTHS, PAPER_SNR
from kuppens.real import Comparison
from kuppens.stats import Ratio, accuracy, ratio
from kuppens.timing import Chunking, Speed


@dataclass(frozen=True)
class Found:
    """One ratio of mean squared errors and where it was measured."""

    where: str
    quantity: str
    ratio: Ratio


@dataclass
class Results:
    """Measurements by section; empty where a section was left out.

    Parameters
    ----------
    cells
        Errors of every simulated cell.
    speeds, chunks, real
        See `timing` and `real`.
    cards
        Cards of all networks by row and model.
    """

    cells: list[Errors] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    chunks: list[Chunking] = field(default_factory=list)
    real: list[Comparison] = field(default_factory=list)
    cards: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def of(self, section: str, model: str) -> list[Errors]:
        """Return the cells of a section and a model."""
        return [c for c in self.cells if c.section == section and c.model == model]

    def all(self, section: str, model: str) -> Errors | None:
        """Return all curves of a section and a model."""
        found = self.of(section, model)
        return joined(found) if found else None

    def at_snr(
        self, section: str, model: str, chosen: Callable[[float], bool] | None = None, paper: bool = False
    ) -> list[tuple[str, Errors]]:
        """Return curves by SNR: the chosen ones, or those of the study."""
        errors = self.all(section, model)
        if errors is None:
            return []
        levels = [s for s in np.unique(errors.snr) if not paper or s in PAPER_SNR[model]]
        return [(f"SNR {s:g}", errors.pick(errors.snr == s)) for s in levels if chosen is None or chosen(s)]

    def at_length(self, model: str) -> list[tuple[str, Errors]]:
        """Return variable protocols by their length, at the SNR of the study."""
        errors = self.all("variable", model)
        if errors is None:
            return []
        inside = errors.pick(np.isin(errors.snr, PAPER_SNR[model]))
        return [(f"N = {n}", inside.pick(inside.length == n)) for n in LENGTHS[model]]


def compared(
    groups: Iterable[tuple[str, Errors]], row: str, against: str, quantities: Sequence[str] | None = None
) -> list[Found]:
    """Return the ratios of two estimators in all groups, for all quantities unless some are named."""
    found = []
    for label, errors in groups:
        for quantity in quantities or SHOWN[errors.model]:
            value = ratio(errors, row, against, quantity)
            if value is not None:
                found.append(Found(label, quantity, value))
    return found


def span(found: Sequence[Found]) -> str:
    """Return the smallest and the largest ratio, and where the largest is."""
    if not found:
        return "not measured"
    worst = max(found, key=lambda f: f.ratio.value)
    least = min(f.ratio.value for f in found)
    return f"{least:.3f} to {worst.ratio} ({worst.quantity}, {worst.where})"


def statistic(
    groups: Iterable[tuple[str, Errors]],
    row: str,
    against: str,
    name: str,
    quantities: Sequence[str] | None = None,
) -> list[Found]:
    """Return ratios of another statistic of two estimators than the mean; no standard error."""
    found = []
    for label, errors in groups:
        for quantity in quantities or SHOWN[errors.model]:
            a, b = (accuracy(errors, r, quantity) for r in (row, against))
            if a is not None and b is not None:
                value = abs(getattr(a, name)) / max(abs(getattr(b, name)), 1e-300)
                found.append(Found(label, quantity, Ratio(value, 0.0)))
    return found


def bias(groups: Iterable[tuple[str, Errors]], row: str) -> str:
    """Return the largest absolute bias of an estimator over its root mean squared error, and where it is."""
    found = []
    for label, errors in groups:
        for quantity in SHOWN[errors.model]:
            a = accuracy(errors, row, quantity)
            if a is not None:
                found.append((abs(a.bias) / np.sqrt(a.mean), quantity, label))
    if not found:
        return "not measured"
    largest = max(found)
    return f"{largest[0]:.2f} ({largest[1]}, {largest[2]})"


def by_length(results: Results, model: str, row: str) -> str:
    """Return how the mean squared error of an estimator changes from shortest to longest protocols."""
    groups = results.at_length(model)
    if not groups:
        return "not measured"
    changes = []
    for quantity in SHOWN[model]:
        values = [accuracy(errors, row, quantity) for _, errors in groups]
        if values[0] is None or values[-1] is None:
            return "not measured"
        changes.append(f"{quantity} x {values[-1].mean / values[0].mean:.2f}")
    return ", ".join(changes)
