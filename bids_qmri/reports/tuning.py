"""The page of a fine-tuning: how losses went, how networks do on participants they were not tuned with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from bids_qmri import __version__
from bids_qmri.reports.charts import Chart, span
from bids_qmri.reports.page import count, number, render

if TYPE_CHECKING:
    from bids_qmri.training.finetune import Tuned
    from bids_qmri.training.folds import Outcome

REFERENCES = {
    "own": "the network's own answer to all measurements",
    "lsq": "the answer of least squares to all measurements",
}
"""What estimates from part of the measurements are compared with; neither is the truth."""


@dataclass(frozen=True)
class Curves:
    """Diagrams of one network: its name, losses of measured voxels held out, errors on simulations."""

    title: str
    kept: int
    measured: Markup
    simulated: Markup


def tuning_page(found: Outcome) -> str:
    """Return the page of a fine-tuning, one file without scripts."""
    start, how = found.start, found.how
    labels = list(dict.fromkeys(scan.participant for scan in found.scans))
    networks = [(f"without {_subjects(fold.held_out)}", fold.tuned) for fold in found.folds]
    networks.append(("all participants", found.tuned))
    return render(
        "tuning.html",
        title=f"Fine-tuning of {start.card['name']}",
        lead=f"{count(len(labels), 'participant')}, {sum(len(scan.signal) for scan in found.scans)} voxels",
        curves=[_curves(title, tuned) for title, tuned in networks],
        summary=list(_summary(found)),
        predictions=[(_subjects(fold.held_out), number(fold.prediction)) for fold in found.folds],
        folds=list(_folds(found)),
        quantities=list(found.tuned.simulated),
        simulated=[
            (title, tuned.kept.number, [number(ratio) for ratio in tuned.simulated.values()])
            for title, tuned in networks
        ],
        references=REFERENCES,
        facts={
            "Network": found.file.name,
            "Model": start.recipe.model,
            "Start": f"{start.file.name}, SHA-256 {start.sha256}",
            "Participants": ", ".join(f"sub-{label}" for label in labels),
            "Measured voxels": f"loss over {_TARGETS[how.target]}; {how.parts} parts of each protocol",
            "Batches": f"{how.measured} measured and {how.simulated} simulated voxels",
            "Learning rate": f"{how.rate:g} at first",
            "CPU time": f"{found.cost:.0f} s",
        },
        version=__version__,
    )


_TARGETS = {
    "rest": "the measurements that the network did not read",
    "all": "all measurements",
    "read": "the measurements that the network read",
}


def _subjects(labels: Sequence[str]) -> str:
    return ", ".join(f"sub-{label}" for label in labels)


def _summary(found: Outcome) -> Iterator[tuple[str, ...]]:
    for one in found.summary:
        error = "n/a" if math.isnan(one.error) else f"{one.error:.3f}"
        yield (
            one.quantity,
            str(one.length),
            one.reference,
            f"{one.ratio:.3f}",
            error,
            str(one.participants),
        )


def _folds(found: Outcome) -> Iterator[tuple[str, ...]]:
    for fold in found.folds:
        for one in fold.judged:
            errors = number(one.before), number(one.after), f"{one.ratio:.3f}"
            yield f"sub-{one.participant}", one.quantity, str(one.length), one.reference, *errors


def _curves(title: str, tuned: Tuned) -> Curves:
    """Draw losses over those of the start, by epoch."""
    epochs = [epoch.number for epoch in tuned.epochs]
    measured = [epoch.stop / tuned.epochs[0].stop for epoch in tuned.epochs]
    simulated = [max(epoch.simulated.values()) for epoch in tuned.epochs]
    return Curves(
        title,
        tuned.kept.number,
        _chart(
            epochs, measured, "measured voxels", f"Loss of measured voxels over that of the start, {title}."
        ),
        _chart(epochs, simulated, "simulations", f"Largest error on simulations over the start, {title}."),
    )


def _chart(epochs: Sequence[int], values: Sequence[float], label: str, summary: str) -> Markup:
    chart = Chart(
        (0, max(epochs[-1], 1)),
        span(values, [1.0], margin=0.1),
        x_label="epoch",
        y_label=f"{label}, over start",
        summary=summary,
    )
    chart.level(1.0, "identity")
    chart.line(epochs, values, "curve")
    return chart.svg()
