"""Scores of phantoms of tissue as Markdown, and as a table of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.tissue_scores import DETERMINED, WHOLE, Score, Scores

SHOWN = {
    "d": ("D (1e-3 mm²/s)", 1e3),
    "dstar": ("D* (1e-3 mm²/s)", 1e3),
    "f": ("f", 1.0),
    "t1": ("T1 (ms)", 1e3),
    "ktrans": ("Ktrans (1/min)", 1.0),
    "kep": ("kep (1/min)", 1.0),
    "ve": ("ve", 1.0),
    "vp": ("vp", 1.0),
    "ndi": ("NDI", 1.0),
    "odi": ("ODI", 1.0),
    "fwf": ("FWF", 1.0),
}
"""Name and factor by parameter."""


@dataclass(frozen=True, eq=False)
class Section:
    """Scores of one phantom and noise, with a heading and what is not as usual."""

    title: str
    voxels: str
    parameters: tuple[str, ...]
    headline: Mapping[str, str]
    rows: tuple[str, ...]
    scores: Scores
    notes: tuple[str, ...] = ()


def markdown(section: Section) -> list[str]:
    """Return the lines of one section."""
    lines = [f"## {section.title}", "", f"{section.voxels}.", *(f"{note}." for note in section.notes), ""]
    for name in section.parameters:
        region = section.headline.get(name, WHOLE)
        where = "" if region == WHOLE else f", {region}"
        lines += [f"### {SHOWN[name][0]}{where}", "", *_main(section, name, region), ""]
        lines += [*_regions(section, name), ""]
    seconds = ", ".join(f"{row} {np.mean(section.scores.seconds[row]):.2g}" for row in section.rows)
    return [*lines, f"Processor seconds per phantom: {seconds}.", ""]


def summary(sections: list[Section]) -> list[str]:
    """Return the lines of a table of MSE over that of the base row."""
    rows = list(dict.fromkeys(row for section in sections for row in section.rows))
    lines = ["## Summary: MSE ÷ lsq", "", f"| phantom | {' | '.join(rows)} |", "|" + "---|" * (len(rows) + 1)]
    for section in sections:
        for name in section.parameters:
            region = section.headline.get(name, WHOLE)
            found = [section.scores.of(row, name, region) for row in rows]
            cells = [_ratio(score) if score is not None else "" for score in found]
            lines.append(f"| {section.title}: {SHOWN[name][0].split(' (')[0]} | {' | '.join(cells)} |")
    return [*lines, ""] if sections else []


def _main(section: Section, name: str, region: str) -> list[str]:
    scale, scores = SHOWN[name][1], section.scores
    lines = [
        "| row | MSE ÷ lsq | RMSE | bias | sd | covered | lesion contrast | determined: share, MSE ÷ lsq "
        "| no answer |",
        "|" + "---|" * 9,
    ]
    for row in section.rows:
        score = scores.of(row, name, region)
        if score is None or not score.total()["n"]:
            continue
        cells = [
            f"**{_ratio(score)}**",
            f"{scale * np.sqrt(score.mse):.3g}",
            _bias(scale, score),
            f"{scale * score.sd:.3g}",
            _number(score.coverage),
            _contrast(scores.contrast.get((row, name), [])),
            _determined(score, scores.of(row, name, DETERMINED)),
            f"{np.mean(scores.silent[row]):.1%}" if np.any(scores.silent[row]) else "",
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


def _regions(section: Section, name: str) -> list[str]:
    """Return ratios, and biases in brackets, by region."""
    main = section.headline.get(name, WHOLE)
    regions = [region for region in section.scores.regions if region != main]
    scale = SHOWN[name][1]
    lines = ["| MSE ÷ lsq (bias) | " + " | ".join(regions) + " |", "|" + "---|" * (len(regions) + 1)]
    for row in section.rows:
        cells = []
        for region in regions:
            score = section.scores.of(row, name, region)
            known = score is not None and score.total()["n"] > 1
            cells.append(f"{_ratio(score)} ({_bias(scale, score)})" if known and score else "")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


def _ratio(score: Score) -> str:
    value, error = score.ratio()
    return "" if np.isnan(value) else f"{_short(value)} ± {_short(error)}"


def _bias(scale: float, score: Score) -> str:
    """Return a bias, 0 where it is but rounding."""
    return f"{scale * score.bias:+.2g}" if abs(score.bias) > 1e-6 * np.sqrt(score.mse) else "0"


def _short(value: float) -> str:
    return f"{value:.3g}" if value >= 1 else f"{value:.2g}" if value >= 0.1 else f"{value:.1g}"


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _contrast(recovered: list[float]) -> str:
    """Return mean and standard error over lesions."""
    if len(recovered) < 2:
        return ""
    return f"{np.mean(recovered):.2f} ± {np.std(recovered, ddof=1) / np.sqrt(len(recovered)):.2f}"


def _determined(whole: Score, part: Score | None) -> str:
    if part is None:
        return ""
    share = part.total()["n"] / whole.total()["n"]
    return f"{share:.0%}, {_ratio(part)}" if share else "0%"


COLUMNS = (
    "phantom",
    "row",
    "parameter",
    "region",
    "voxels",
    "ratio",
    "error",
    "rmse",
    "bias",
    "sd",
    "covered",
)


def table(sections: list[Section]) -> list[str]:
    """Return everything as lines of tab-separated values, in units of the package."""
    lines = ["\t".join(COLUMNS)]
    for section in sections:
        for (row, name, region), score in section.scores.scores.items():
            if n := score.total()["n"]:
                numbers = (n, *score.ratio(), np.sqrt(score.mse), score.bias, score.sd, score.coverage)
                values = "\t".join(f"{number:.6g}" for number in numbers)
                lines.append(f"{section.title}\t{row}\t{name}\t{region}\t{values}")
    return lines
