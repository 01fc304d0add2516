"""What the benchmark must show, with the figure got; pass or fail is computed, never written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kuppens.cells import SHOWN, UNIT, Errors
from kuppens.results import Found, Results, compared
from kuppens.rows import CONTROLS, TECHNIQUE
from kuppens.stats import accuracy
from kuppens.text import by_label_and_snr

CLOSE = ("t1", "d", "f", "ve")
"""Quantities that must be within 5 % of the posterior mean; the others within 10 %."""

SPEEDUP = {"vfa": 200, "ivim": 200, "etofts": 100}
RATE = {"vfa": 200_000, "ivim": 100_000}
HOURS = 2.0
LONGEST = 6
"""Measurements of a subset; 8 of 9 b-values are nearly all."""


@dataclass(frozen=True)
class Verdict:
    """One line; `passed` is None where nothing was measured."""

    check: str
    needed: str
    got: str
    passed: bool | None


def verdicts(r: Results) -> list[Verdict]:
    return [
        *_against_lsq(r),
        *_against_bayes(r),
        *_section(r, "wide", "wide limits told, wide truths", ("vfa", "ivim", "etofts")),
        *_section(r, "sigma", "noise level wrong by x 0.7, x 1.3, or estimated", tuple(SHOWN)),
        *_section(r, "outside", "protocols outside Table 2", tuple(SHOWN)),
        _controls(r),
        *_coverage(r),
        *_chunking(r),
        *_speed(r),
        *_training(r),
        *_real(r),
    ]


def table(found: Sequence[Verdict]) -> list[str]:
    word = {True: "**pass**", False: "**FAIL**", None: "not measured"}
    lines = ["| check | needed | got | |", "|---|---|---|---|"]
    return [*lines, *(f"| {v.check} | {v.needed} | {v.got} | {word[v.passed]} |" for v in found), ""]


def _judge(check: str, needed: str, found: Sequence[Found], limit: float) -> Verdict:
    if not found:
        return Verdict(check, needed, "-", None)
    worst = max(found, key=lambda f: f.ratio.value)
    over = [f for f in found if f.ratio.above(limit)]
    nominal = sum(f.ratio.value > limit for f in found)
    got = f"worst {worst.ratio} ({UNIT[worst.quantity]}, {worst.where})"
    got += f"; {nominal} of {len(found)} above {limit:g}"
    if nominal:
        got += f", {len(over)} by more than the standard error"
    return Verdict(check, needed, got, not over)


def _against_lsq(r: Results) -> list[Verdict]:
    found = []
    for section, name in (
        ("fixed", "fixed protocols (Table 3)"),
        ("variable", "variable protocols (Table 2)"),
    ):
        for model in SHOWN:
            ratios = compared(r.at_snr(section, model), "ncde", "lsq")
            found.append(
                _judge(
                    f"MSE(ncde) ÷ MSE(lsq), {TECHNIQUE[model]}, {name}, all SNR",
                    "≤ 1.00, ties within s.e.",
                    ratios,
                    1.0,
                )
            )
    return found


def _against_bayes(r: Results) -> list[Verdict]:
    found = []
    for model in SHOWN:
        ratios = compared(r.at_snr("fixed", model), "ncde", "bayes")
        near = [f for f in ratios if f.quantity in CLOSE]
        rest = [f for f in ratios if f.quantity not in CLOSE]
        names = ", ".join(q for q in SHOWN[model] if q in CLOSE)
        found.append(_judge(f"MSE(ncde) ÷ MSE(bayes), {names}, Table 3", "≤ 1.05", near, 1.05))
        if len(SHOWN[model]) > 1:
            names = ", ".join(q for q in SHOWN[model] if q not in CLOSE)
            found.append(_judge(f"MSE(ncde) ÷ MSE(bayes), {names}, Table 3", "≤ 1.10", rest, 1.10))
    return found


def _section(r: Results, section: str, name: str, models: Sequence[str]) -> list[Verdict]:
    found = []
    for model in models:
        cells = [c for c in r.of(section, model) if not (section == "sigma" and c.label[0] == "x 1")]
        ratios = compared(by_label_and_snr(cells), "ncde", "lsq")
        found.append(
            _judge(
                f"{name}, {TECHNIQUE[model]}: MSE(ncde) ÷ MSE(lsq)", "≤ 1.00, ties within s.e.", ratios, 1.0
            )
        )
    return found


def _controls(r: Results) -> Verdict:
    absent = [
        f"{name} ({TECHNIQUE[model]})"
        for name in CONTROLS
        for model in ("vfa", "ivim", "etofts")
        if not any(name in cell.error for cell in r.of("fixed", model))
    ]
    got = "all in the tables" if not absent else f"not in the tables: {', '.join(absent)}"
    return Verdict(
        "networks of the study and controls",
        "in the same tables",
        got,
        not absent if len(absent) < 3 * len(CONTROLS) else None,
    )


def _coverage(r: Results) -> list[Verdict]:
    found = []
    for model in SHOWN:
        cells = [e for section in ("fixed", "variable") if (e := r.all(section, model)) is not None]
        groups = [(f"{e.section}, SNR {s:g}", e.pick(e.snr == s)) for e in cells for s in np.unique(e.snr)]
        for check, bins, low, high in (
            ("overall", [(e.section, e) for e in cells], 0.63, 0.73),
            ("in every SNR bin", groups, 0.55, 0.80),
        ):
            values = [(q, label, _covered(e, q)) for label, e in bins for q in SHOWN[model]]
            values = [v for v in values if not np.isnan(v[2])]
            needed = f"{100 * low:.0f}-{100 * high:.0f} %"
            if not values:
                found.append(Verdict(f"coverage of ± sd, {TECHNIQUE[model]}, {check}", needed, "-", None))
                continue
            least, most = (f(values, key=lambda v: v[2]) for f in (min, max))
            ends = [f"{100 * v[2]:.1f} % ({UNIT[v[0]]}, {v[1]})" for v in (least, most)]
            passed = bool(low <= least[2] and most[2] <= high)
            found.append(
                Verdict(f"coverage of ± sd, {TECHNIQUE[model]}, {check}", needed, " to ".join(ends), passed)
            )
    return found


def _covered(errors: Errors, quantity: str) -> float:
    a = accuracy(errors, "ncde", quantity)
    return np.nan if a is None else a.covered


def _chunking(r: Results) -> list[Verdict]:
    found = []
    for model in SHOWN:
        mine = [c for c in r.chunks if c.model == model and c.row == "ncde"]
        check = f"chunking invariance, {TECHNIQUE[model]}"
        if not mine:
            found.append(Verdict(check, "≤ 1e-6 of the limits' distance", "-", None))
            continue
        worst = max(mine[0].alone, mine[0].parts)
        got = (
            f"{mine[0].alone:.1e} one by one, {mine[0].parts:.1e} in chunks of 1000; batch {mine[0].batch:,}"
        )
        found.append(Verdict(check, "≤ 1e-6 of the limits' distance", got, worst <= 1e-6))
    return found


def _speed(r: Results) -> list[Verdict]:
    found = []
    for model, limit in SPEEDUP.items():
        rows = {s.row: s for s in r.speeds if s.model == model}
        needed = f"≥ {limit} x curve_fit" + (f", ≥ {RATE[model]:,} curves/s" if model in RATE else "")
        if "ncde" not in rows:
            found.append(Verdict(f"speed on two cores, {TECHNIQUE[model]}", needed, "-", None))
            continue
        times = rows["ncde"].two / rows["curve_fit"].two
        got = f"{times:,.0f} x, {rows['ncde'].two:,.0f} curves/s"
        passed = times >= limit and rows["ncde"].two >= RATE.get(model, 0)
        found.append(Verdict(f"speed on two cores, {TECHNIQUE[model]}", needed, got, passed))
    return found


def _training(r: Results) -> list[Verdict]:
    found = []
    for model in SHOWN:
        check = f"cost of training, {TECHNIQUE[model]}, from the card (not trained again here)"
        seconds = r.cards.get(("ncde", model), {}).get("cost", {}).get("cpu_seconds")
        if seconds is None:
            found.append(Verdict(check, "≤ 2 h on 2 cores", "-", None))
        else:
            got = f"{seconds / 60:.0f} CPU-min"
            found.append(Verdict(check, "≤ 2 h on 2 cores", got, seconds <= 3600 * HOURS))
    return found


def _real(r: Results) -> list[Verdict]:
    found = []
    references = (
        ("vfa", "lsq", "as in Fig 6"),
        ("vfa", "rest", "independent"),
        ("ivim", "own", "as in Fig 8"),
    )
    for model, reference, meaning in references:
        for box in ("Table 1", "wide"):
            wanted = model, reference, box
            mine = [c for c in r.real if (c.model, c.reference, c.box) == wanted and c.length <= LONGEST]
            nets = [c for c in mine if c.row == "ncde"]
            ratios = [Found(f"{c.data}, {c.length}: {c.subset}", c.quantity, c.ratio) for c in nets]
            check = f"measured data, {model}, {box} limits, reference `{reference}` ({meaning})"
            judged = _judge(check, "MSE lower than lsq", ratios, 1.0)
            best = [c.ratio.value > 1 for c in mine if c.row == "bayes"]
            beside = f"; bayes: {sum(best)} of {len(best)} above 1" if best else ""
            found.append(replace(judged, got=judged.got + beside))
    return found
