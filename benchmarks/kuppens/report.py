"""The report: verdicts first, then the claims of the study, then the tables."""

from __future__ import annotations

import platform
from datetime import date
from pathlib import Path

import numpy as np

from kuppens import claims, plots, real, text, timing, verdict
from kuppens.cells import AMPLITUDE, SEED, SHOWN, UNIT
from kuppens.designs import HEMATOCRIT, TR
from kuppens.results import Results, compared
from kuppens.rows import MEANING, STUDY, missing, seeds_of

TECHNIQUE = {"vfa": "VFA T1 mapping", "ivim": "IVIM", "etofts": "DCE, extended Tofts"}
FILE = {"vfa": "vfa", "ivim": "ivim", "etofts": "dce"}


def write(results: Results, networks: Path | None, quick: bool, seconds: float) -> str:
    """Return the Markdown of everything that was measured."""
    lines = ["# Networks on the design of Kuppens et al. 2025", ""]
    if quick:
        lines += ["**A trial with few curves (`--quick`): the figures below are not to be quoted.**", ""]
    lines += _method(networks, seconds) + _epochs(results)
    lines += ["## 1. Verdicts", "", *verdict.table(verdict.verdicts(results))]
    lines += ["## 2. Claims of the study", "", *claims.table(results, _networks(results))]
    lines += _simulated(results) + _wide(results) + _sigma(results) + _outside(results)
    lines += _coverage(results) + _seeds(results, networks) + _timing(results) + _measured(results)
    lines += _cost(results)
    return "\n".join(lines) + "\n"


def draw(results: Results, folder: Path) -> None:
    """Write the plots of the techniques for which both fixed and variable protocols were simulated."""
    for model, name in FILE.items():
        fixed, variable = results.all("fixed", model), results.all("variable", model)
        if fixed is not None and variable is not None:
            panels = [
                ("fixed protocol", text.by_snr(fixed)),
                ("variable protocols", text.by_snr(variable)),
                ("variable protocols", results.at_length(model)),
            ]
            plots.draw(panels, model, TECHNIQUE[model], folder / f"kuppens2025-{name}.png")


METHOD = f"""
Parameters are uniform in the limits that every estimator is told (Table 1 unless said otherwise; delay of
DCE 0-10 s). Noise as in eqs 7 and 8. Amplitudes are log-uniform in {AMPLITUDE[0]:g}-{AMPLITUDE[1]:g}: the
noise level does not tell them. The study prints no repetition time: {1e3 * TR:g} ms is assumed. All curves
are drawn from random streams that begin with {SEED}; training uses none of them. The arterial input is that
of Rata et al., as in the study, unless said otherwise; that of Parker et al. (haematocrit {HEMATOCRIT:g}) and
the measured one are never trained on.

Ratios are of mean squared errors (MSE) on the same curves, ± standard error by the delta method for pairs,
over protocols where there are eight or more. `MSE ÷ bayes` may fall below 1 where a network knows the range
of SNR that it was trained on, or by chance. `own sd ÷ prior sd` says what the data tell: at 1 nothing, and
every good estimate is then the middle of the range (the row `constant`). Ktrans = ke ve is not part of the
study.
"""


def _method(networks: Path | None, seconds: float) -> list[str]:
    absent = [name for model in SHOWN for name in missing(model, networks)]
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    lines = [
        f"{date.today().isoformat()}; {versions}; two processes of one thread each, {platform.machine()};",
        f"{seconds / 60:.0f} min in all. Again: `python benchmarks/kuppens2025.py`.",
        METHOD,
        *(f"* `{name}`: {meaning}" for name, meaning in MEANING.items()),
    ]
    if absent:
        lines += ["", f"**Left out because there is no such network: {', '.join(absent)}.**"]
    return [*lines, ""]


def _epochs(results: Results) -> list[str]:
    """Say for how many of its epochs each network of the study was trained."""
    shares = {
        TECHNIQUE[model]: 100 * card["fraction_of_study"]
        for (row, model), card in results.cards.items()
        if row == STUDY and "fraction_of_study" in card
    }
    told = ", ".join(f"{name} {share:.0f} %" for name, share in shares.items())
    return (
        [f"Networks of the study were trained for these shares of its 750 epochs: {told}.", ""]
        if told
        else []
    )


def _networks(results: Results) -> list[str]:
    """Return the shipped network and, where it was measured, that of the study."""
    there = any(STUDY in cell.error for cell in results.cells)
    return ["ncde", STUDY] if there else ["ncde"]


def _simulated(results: Results) -> list[str]:
    lines = []
    for model, name in TECHNIQUE.items():
        fixed, variable = results.all("fixed", model), results.all("variable", model)
        if fixed is not None:
            lines += [
                f"## 3. {name}: fixed protocol of Table 3, by SNR",
                "",
                *text.accuracy_table(text.by_snr(fixed), model),
            ]
        if fixed is not None and model == "ivim":
            lines += [
                "### What the data tell about D*",
                "",
                "Posterior over prior standard deviation, by SNR and true f; at 1 D* cannot be told at all.",
                "",
                *text.identifiability(fixed),
            ]
        if variable is None:
            continue
        if fixed is not None:
            lines += [f"![Squared errors](kuppens2025-{FILE[model]}.png)", ""]
        lines += [
            f"## 4. {name}: variable protocols of Table 2, by SNR",
            "",
            *text.accuracy_table(text.by_snr(variable), model),
        ]
        lines += [f"## 4. {name}: variable protocols of Table 2, by length, SNR of the study", ""]
        lines += text.accuracy_table(results.at_length(model), model)
    return lines


def _compact(results: Results, section: str, title: str, note: str) -> list[str]:
    lines = []
    for model, name in TECHNIQUE.items():
        cells = results.of(section, model)
        if cells:
            lines += [f"### {name}", "", *text.ratio_table(text.by_label_and_snr(cells), model)]
    return [f"## {title}", "", note, "", *lines] if lines else []


def _wide(results: Results) -> list[str]:
    note = (
        "Truths and limits: T1 0.1-5 s; D 0-4e-3, D* 0.005-0.2 mm²/s, f 0-0.7; ke 0.01-5 /min, ve 0.01-1, "
        "vp 0-0.3, delay 0-10 s."
    )
    return _compact(results, "wide", "5. Wide limits", note)


def _sigma(results: Results) -> list[str]:
    levels = [
        f"{TECHNIQUE[c.model]} SNR {snr:g}: {c.sigma[c.snr == snr].mean():.3f}"
        for c in results.cells
        if c.section == "sigma" and c.label[0] == "estimated"
        for snr in np.unique(c.snr)
    ]
    note = (
        "Table 3; the noise level that estimators are told over the true one. Estimated: one level per scan "
        "of amplitudes that vary, from the residuals of `lsq`; estimated over true: "
        f"{'; '.join(levels) or 'not measured'}."
    )
    return _compact(results, "sigma", "6. Noise level wrong or estimated", note)


LEAST_SHARE = 0.001


def _outside(results: Results) -> list[str]:
    shares = [
        f"{c.label[0]} ({TECHNIQUE[c.model]}) {100 * c.outside['ncde']:.1f} %"
        for c in results.cells
        if c.section in ("outside", "wide") and c.outside.get("ncde", 0) >= LEAST_SHARE
    ]
    said = "; ".join(shares) or "none"
    note = f"Curves that `ncde` itself marks as outside its range (status 5), here and in section 5: {said}."
    return _compact(results, "outside", "7. Protocols that Table 2 never draws", note)


def _coverage(results: Results) -> list[str]:
    lines = []
    for model, name in TECHNIQUE.items():
        for section in ("fixed", "variable"):
            errors = results.all(section, model)
            if errors is not None:
                groups = [("all", errors), *text.by_snr(errors)]
                lines += [f"### {name}, {section}", "", *text.coverage_table(groups, model)]
    note = "Share of the truths within the estimate ± the standard deviation that the estimator states."
    return ["## 8. Coverage", "", note, "", *lines] if lines else []


def _seeds(results: Results, networks: Path | None) -> list[str]:
    lines = []
    for model, name in TECHNIQUE.items():
        rows = ["ncde", *seeds_of(model, networks)]
        if len(rows) < 2 or not results.of("fixed", model):
            continue
        lines += [f"### {name}", "", "| | | mean | lowest | highest |", "|---|---|---|---|---|"]
        found = [compared(results.at_snr("fixed", model), row, "lsq") for row in rows]
        for same in zip(*found, strict=True):
            values = np.array([f.ratio.value for f in same])
            cells = [f"{x:.3f}" for x in (values.mean(), values.min(), values.max())]
            lines.append(f"| {same[0].where} | {UNIT[same[0].quantity]} | {' | '.join(cells)} |")
        lines.append("")
    note = "MSE ÷ lsq of the shipped recipe trained from several seeds, Table 3."
    return ["## 9. Seeds", "", note, "", *lines] if lines else []


SPEED = (
    "Curves per CPU-second, Table 3, everything included: one process of one thread, and the sum of two such "
    "processes that run at once. On idle cores that is wall time."
)


def _timing(results: Results) -> list[str]:
    lines = []
    if results.chunks:
        note = "Largest difference to one batch, of estimates and sd, over the distance of the limits."
        lines += [
            "## 10. Does a result depend on its batch?",
            "",
            note,
            "",
            *timing.chunking_table(results.chunks),
        ]
    if results.speeds:
        note = SPEED
        lines += ["## 11. Speed", "", note, "", *timing.speed_table(results.speeds)]
    return lines


MEASURED = """
Subsets of measured series against estimates from more measurements (10 flip angles without 1°; 9 b-values,
averaged over directions): nearest to the fixed subsets of the study, and random ones by the rule of Table 2
(means of several). There is no truth. The reference is one of three: `lsq`, least squares on all measurements
(as in Fig 6), which shares noise with the subset and favours `lsq`; `own`, the same estimator on all
measurements (as in Fig 8), which favours whoever answers the same to everything; `rest`, least squares on the
measurements that are not in the subset, whose noise is independent (VFA only, for want of measurements).
Asked as `bids_qmri-evaluate --prior box --bounds ...` asks: the noise is that of the whole series as the
application finds it, by neighbourhood; Bayes is told single images. Standard errors are over voxels, as if
these were independent.
"""


def _cost(results: Results) -> list[str]:
    if not results.cards:
        return []
    lines = ["| network | | seed | trained values | curves drawn from | curves seen | CPU-min of training |"]
    lines.append("|" + "---|" * 7)
    for (row, model), card in sorted(results.cards.items(), key=lambda item: item[0][::-1]):
        cost = card.get("cost", {}).get("cpu_seconds")
        numbers = [card.get(key) for key in ("seed", "trained_values", "distinct_curves", "curves")]
        cells = ["-" if n is None else f"{n:,}" for n in numbers]
        cells.append("-" if cost is None else f"{cost / 60:.1f}")
        lines.append(f"| {row} | {TECHNIQUE[model]} | {' | '.join(cells)} |")
    note = "From the cards of the networks. The study: 4.8 million curves seen, 13 to 41 hours on a GPU."
    return ["## 13. Cost of training", "", note, "", *lines, ""]


def _measured(results: Results) -> list[str]:
    if not results.real:
        return []
    return ["## 12. Measured data", MEASURED, *real.table(results.real)]
