"""The page and the tables of an evaluation. Called by `cli.evaluate`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from bids_qmri import __version__
from bids_qmri.bids.derivatives import write_atomic, write_sidecar
from bids_qmri.estimators.determined import NARROW
from bids_qmri.evaluation.scores import REFERENCES, Score, over_participants
from bids_qmri.evaluation.study import EVERY_REGION, WHOLE, Evaluation, Found
from bids_qmri.outputs.tables import MapRow, output_table
from bids_qmri.reports import evaluation_tables as tables
from bids_qmri.reports.charts import legend
from bids_qmri.reports.evaluation_figures import Figure, colours_of, draw_all, scale_of
from bids_qmri.reports.evaluation_maps import draw_plates
from bids_qmri.reports.page import count, percent, render
from bids_qmri.reports.panels import draw_scatter

POOLED = (WHOLE, EVERY_REGION)
"""Names of all voxels of a participant together."""

MOST_REGIONS = 12
"""Regions that the page shows by themselves; the tables hold all."""


@dataclass(frozen=True)
class Group:
    """Figures of one reference and region."""

    title: str
    meaning: str
    errors: tuple[Figure, ...]
    spread: tuple[Figure, ...]


@dataclass(frozen=True)
class Line:
    """A line of a table."""

    heads: tuple[str, ...]
    cells: tuple[str, ...]


def write_evaluation(output_dir: Path, found: Evaluation) -> list[Path]:
    """Write ``evaluation_<model>.html``, the tables, and their data dictionaries.

    Parameters
    ----------
    output_dir
        Where they go; made if it is not there.
    found
        What a study shows.

    Returns
    -------
    list of Path
        What was written, the page first.
    """
    stem = f"evaluation_{found.question.model.name}"
    units = {name: row.unit for name, row in _rows(found).items()}
    scores = tables.score_rows((s for one in found.found for s in one.scores), units)
    agreed = tables.agreement_rows((a for one in found.found for a in one.agreements), units)
    page = output_dir / f"{stem}.html"
    output_dir.mkdir(parents=True, exist_ok=True)
    write_atomic(page, evaluation_page(found).encode("utf-8"))
    written = [page]
    for name, columns, rows in (("", tables.SCORES, scores), ("_agreement", tables.AGREEMENT, agreed)):
        table, sidecar = (output_dir / f"{stem}{name}{end}" for end in (".tsv", ".json"))
        if rows:
            write_atomic(table, tables.as_tsv(columns, rows).encode("utf-8"))
            write_sidecar(sidecar, tables.dictionary(columns))
            written += [table, sidecar]
        else:
            # Those of an earlier call would contradict the page.
            table.unlink(missing_ok=True)
            sidecar.unlink(missing_ok=True)
    return written


def _rows(found: Evaluation) -> dict[str, MapRow]:
    table = output_table(found.question.model.name)
    known = {row.name: row for row in table.maps}
    return {name: known[name] for name in found.question.quantities if name in known}


def evaluation_page(found: Evaluation) -> str:
    """Return the page, one file without requests to anywhere."""
    rows, question = _rows(found), found.question
    colours = colours_of(list(question.estimators))
    scores = [score for one in found.found for score in one.scores]
    examples = [one.example for one in found.found if one.example is not None]
    regions = [name for name in _regions(found) if name not in POOLED]
    stem = f"evaluation_{question.model.name}"
    agreement = list(_agreement(found, rows))
    return render(
        "evaluation.html",
        title=f"Evaluation of estimators: {output_table(question.model.name).title}",
        lead=f"{count(len(found.found), 'participant')}, {', '.join(question.estimators)}",
        base=question.base,
        asked=_asked(found),
        people=[_person(one) for one in found.found],
        notes=found.notes,
        legend=legend(list(colours.items())),
        glance=list(_glance([s for s in scores if s.region in POOLED], rows, list(question.estimators))),
        others=[label for label in question.estimators if label != question.base],
        groups=list(_groups(scores, POOLED, rows, colours)),
        regions=[
            (name, list(_groups(scores, (name,), rows, colours)))
            for name in regions[:MOST_REGIONS]
            if any(s.region == name for s in scores)
        ],
        example=examples[0] if examples else None,
        plates=[plate for example in examples for plate in draw_plates(example, rows)],
        agreement=agreement,
        scatters=list(_scatters(found, rows)),
        references=REFERENCES,
        narrow=f"{NARROW:g}",
        missing=_missing(scores),
        tables=[f"{stem}.tsv"] * bool(scores) + [f"{stem}_agreement.tsv"] * bool(agreement),
        version=__version__,
    )


def _asked(found: Evaluation) -> str:
    """Say what a person chose: prior, limits, seed."""
    question = found.question
    told = question.prior
    prior = told if isinstance(told, str) else "; ".join(dict.fromkeys(one.origin for one in told.values()))
    limits = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in question.bounds.items())
    return f"Prior: {prior}. Limits: {limits or 'as of runs'}. Random seed: {question.seed}."


def _missing(scores: Sequence[Score]) -> str:
    """Say why there is no independent reference, where there is none."""
    if not scores or any(score.reference == "rest" for score in scores):
        return ""
    return (
        "Reference rest: no sub-protocol leaves out enough measurements for a fit of its own, one of those "
        "that every estimate leans on (such as b = 0) among them. References own and lsq share noise with "
        "what they judge."
    )


def _regions(found: Evaluation) -> list[str]:
    return list(dict.fromkeys(name for one in found.found for name in one.regions))


def _person(one: Found) -> Line:
    voxels = ", ".join(f"{name} {many}" for name, many in one.voxels.items())
    return Line((one.scan,), (str(one.measurements or ""), str(one.images), voxels, "; ".join(one.notes)))


def _glance(scores: Sequence[Score], rows: Mapping[str, MapRow], labels: Sequence[str]) -> Iterator[Line]:
    """Yield a line per quantity, reference and sub-protocol: ratios over least squares."""
    kinds = dict.fromkeys((s.length, s.subset) for s in scores)
    for quantity, row in rows.items():
        for reference in REFERENCES:
            for length, subset in kinds:
                chosen = [
                    s
                    for s in scores
                    if (s.quantity, s.reference, s.length, s.subset) == (quantity, reference, length, subset)
                ]
                if not chosen:
                    continue
                base = [s for s in chosen if s.estimator == labels[0]]
                factor, unit = scale_of(row).of_power(2)
                level = f"{np.mean([s.mse for s in base]) * factor:.3g} {unit}".rstrip() + _determined(base)
                cells = [_ratio([s for s in chosen if s.estimator == label]) for label in labels[1:]]
                yield Line((row.symbol, reference, f"{length}: {subset}"), (level, *cells))


def _ratio(scores: Sequence[Score]) -> str:
    if not scores:
        return ""
    one = scores[0].ratio if len(scores) == 1 else over_participants(scores)
    return f"{one.value:.2f} ± {one.se:.2f}{_determined(scores)}"


def _determined(scores: Sequence[Score]) -> str:
    """Say in which share of the voxels the data determine what is judged, where that is known."""
    known = [s.determined for s in scores if math.isfinite(s.determined)]
    return _share(float(np.mean(known))) if known else ""


def _share(determined: float) -> str:
    return f" ({percent(determined)})" if math.isfinite(determined) else ""


def _groups(
    scores: Sequence[Score], regions: Sequence[str], rows: Mapping[str, MapRow], colours: Mapping[str, str]
) -> Iterator[Group]:
    for reference, meaning in REFERENCES.items():
        mine = [s for s in scores if s.region in regions and s.reference == reference]
        if mine:
            errors = tuple(draw_all(mine, rows, ("mse",), colours))
            spread = tuple(draw_all(mine, rows, ("bias", "variance"), colours))
            yield Group(f"Reference {reference}", meaning, errors, spread)


def _agreement(found: Evaluation, rows: Mapping[str, MapRow]) -> Iterator[Line]:
    """Yield means and standard deviations as people read them, and differences, in a unit per map."""
    for one in found.found:
        for a in one.agreements:
            row = rows.get(a.quantity)
            if row is None:
                continue
            scale = scale_of(row, (a.against_mean,))
            f = scale.factor
            title = f"{row.symbol} ({scale.unit})" if scale.unit else row.symbol
            cells = (
                f"{a.mean * f:.3g} ± {a.sd * f:.2g}{_share(a.determined)}",
                f"{a.against_mean * f:.3g} ± {a.against_sd * f:.2g}{_share(a.against_determined)}",
                f"{a.bias * f:.2g}",
                f"{a.difference_sd * f:.2g}",
                f"{a.correlation:.3f}",
                f"{a.r2:.3f}",
                str(a.voxels),
            )
            who = f"sub-{a.participant}"
            yield Line((who, a.region, title, f"{a.estimator} against {a.against}"), cells)


def _scatters(found: Evaluation, rows: Mapping[str, MapRow]) -> Iterator[tuple[Markup, str]]:
    """Yield how often which pair of estimates occurs, over the voxels of all participants, by region."""
    # All regions together say less than each of them.
    regions = [name for name in _regions(found) if name != EVERY_REGION]
    against = found.question.conventional[0]
    others = [one for one in found.question.estimators if one not in found.question.conventional]
    for label in others:
        for region in regions[:MOST_REGIONS]:
            for quantity, row in rows.items():
                pairs = [
                    np.stack([one.pairs[name][quantity][one.regions[region]] for name in (label, against)])
                    for one in found.found
                    if region in one.regions and label in one.pairs and against in one.pairs
                ]
                if not pairs:
                    continue
                values = np.concatenate(pairs, axis=1)
                values = values[:, np.all(np.isfinite(values), axis=0)]
                if values.shape[1] > 1:
                    svg, beyond = draw_scatter(row, values[0], values[1], (label, against))
                    yield svg, f"{row.symbol}, {region}, {values.shape[1]} voxels. {beyond}".rstrip()
