"""What the study claims, row by row, beside what was measured here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kuppens.cells import SHOWN
from kuppens.results import Results, bias, by_length, compared, span, statistic
from kuppens.text import Groups

Claim = tuple[str, str, str]
"""Where in the study, what it says (in our words), what was measured here."""

NOTHING = "not measured"


def claims(results: Results, row: str) -> list[Claim]:
    """Return the claims with what an estimator does here."""
    parts = (_vfa, _ivim, _dce, _in_vivo, _general)
    return [claim for part in parts for claim in part(results, row)]


def table(results: Results, rows: Sequence[str]) -> list[str]:
    """Return a line per claim, with a column per estimator."""
    columns = [claims(results, row) for row in rows]
    heads = " | ".join(f"here: {row}" for row in rows)
    lines = [f"| study | claim | {heads} |", "|" + "---|" * (2 + len(rows))]
    for same in zip(*columns, strict=True):
        lines.append(f"| {same[0][0]} | {same[0][1]} | {' | '.join(claim[2] for claim in same)} |")
    return [*lines, ""]


def _vfa(r: Results, row: str) -> list[Claim]:
    mse, other = partial(_mse, row), partial(_other, row)
    low, high = (r.at_snr("variable", "vfa", f) for f in (lambda s: s < 200, lambda s: s >= 200))
    fixed = r.at_snr("fixed", "vfa", lambda s: s <= 200)
    every = r.at_snr("variable", "vfa", paper=True)
    where = "3.1.1, Fig 2"
    return [
        (f"{where} left", "SNR < 200: NCDE has the lower mean squared error (MSE) of T1 than LSQ", mse(low)),
        (f"{where} left", "SNR < 200: and the lower median, but at SNR 150", other(low, "median")),
        (f"{where} left", "SNR < 200: and the lower 75th percentile", other(low, "upper")),
        (f"{where} left", "SNR ≥ 200: LSQ is better", mse(high)),
        (f"{where} centre", "NCDE and LSQ are more accurate for longer sequences", _longer(r, row, "vfa")),
        (f"{where} centre", "NCDE has the lower MSE at every length", mse(r.at_length("vfa"))),
        (f"{where} right", "fixed protocol, SNR ≤ 200: NCDE has the lower MSE", mse(fixed)),
        (
            f"{where} right",
            "fixed protocol, SNR ≤ 200: MLP has the lower MSE than LSQ",
            f"mlp: {_mse('mlp', fixed)}",
        ),
        (
            f"{where} right",
            "MLP has the lower MSE than NCDE at low SNR, not at high SNR",
            _mlp(r, row, "vfa"),
        ),
        ("3.1.1, Fig S1", "lower variance of the error than LSQ at every SNR", other(every, "variance")),
        ("3.1.1, Fig S1", "larger bias than LSQ, most at low SNR", _bias(row, every)),
        *_costs(r, row, "vfa", (310, 277, 714), 63),
    ]


def _ivim(r: Results, row: str) -> list[Claim]:
    mse, other = partial(_mse, row), partial(_other, row)
    low, high = (r.at_snr("variable", "ivim", f) for f in (lambda s: s <= 20, lambda s: s >= 40))
    fixed = r.at_snr("fixed", "ivim", lambda s: s <= 30)
    every = r.at_snr("variable", "ivim", paper=True)
    where = "3.1.2, Fig 3"
    return [
        (f"{where} middle", "SNR ≤ 20: NCDE has the lower MSE for all parameters", mse(low)),
        (f"{where} middle", "SNR ≤ 20: and the lower median", other(low, "median")),
        (f"{where} middle", "SNR ≥ 40: LSQ is better for D and f", mse(high, ("d", "f"))),
        (f"{where} middle", "SNR ≥ 40: NCDE is better for D*", mse(high, ("dstar",))),
        (f"{where} bottom", "NCDE and LSQ are more accurate for longer sequences", _longer(r, row, "ivim")),
        (f"{where} bottom", "nearly every length: NCDE has the lower MSE", mse(r.at_length("ivim"))),
        (f"{where} bottom", "nearly every length: and 75th percentile", other(r.at_length("ivim"), "upper")),
        (f"{where} top", "fixed, SNR ≤ 30: NCDE has the lower MSE but for f at SNR 20", mse(fixed)),
        (f"{where} top", "fixed, SNR ≤ 30: so has MLP but for D at SNR 10", f"mlp: {_mse('mlp', fixed)}"),
        ("3.1.2, Fig S2", "lower variance of the error than LSQ at every SNR", other(every, "variance")),
        ("3.1.2, Fig S2", "larger bias at high SNR", _bias(row, high)),
        *_costs(r, row, "ivim", (133, 140, 500), 107),
    ]


def _dce(r: Results, row: str) -> list[Claim]:
    mse, other = partial(_mse, row), partial(_other, row)
    some, least = (
        r.at_snr("variable", "etofts", f, paper=True) for f in (lambda s: s >= 10, lambda s: s == 5)
    )
    fixed = r.at_snr("fixed", "etofts", lambda s: s <= 40)
    every, lengths = r.at_snr("variable", "etofts", paper=True), r.at_length("etofts")
    where = "3.1.3, Fig 4"
    return [
        (f"{where} middle", "SNR ≥ 10: NCDE has the lower MSE for ke, ve and vp", mse(some)),
        (f"{where} middle", "SNR ≥ 10: mostly the lower 75th percentile", other(some, "upper")),
        (f"{where} middle", "SNR 5: LSQ has the lower MSE for ke and ve", mse(least, ("kep", "ve"))),
        (f"{where} middle", "SNR 5: NCDE has the lower MSE for vp", mse(least, ("vp",))),
        (f"{where} bottom", "NCDE and LSQ are more accurate for longer sequences", _longer(r, row, "etofts")),
        (f"{where} bottom", "nearly every length: NCDE has the lower MSE", mse(lengths)),
        (f"{where} bottom", "nearly every length: and 75th percentile", other(lengths, "upper")),
        (f"{where} top", "fixed, SNR ≤ 40: NCDE has the lower MSE but for ke and ve at SNR 5", mse(fixed)),
        (f"{where} top", "fixed, SNR ≤ 40: so has MLP", f"mlp: {_mse('mlp', fixed)}"),
        (
            "3.1.3, Fig S3",
            "lower variance than LSQ but for ke at SNR ≤ 10 and ve at SNR 5",
            other(every, "variance"),
        ),
        ("3.1.3, Fig S3", "larger bias of ve at high SNR, of ke at low SNR", _bias(row, every)),
        *_costs(r, row, "etofts", (60, 27, 303), 198),
    ]


def _in_vivo(r: Results, row: str) -> list[Claim]:
    says = {
        "vfa": (
            "3.1.4, Fig 6",
            "3-5 flips of 30: lower MSE than LSQ in abdomen and leg; not in the brain at 4 and 5 fixed flips",
        ),
        "ivim": (
            "3.1.5, Fig 8",
            "4, 6 and 8 b-values of 10: lower MSE than LSQ against the own reference, all parameters",
        ),
    }
    lines = []
    for model, (where, claim) in says.items():
        reference = "lsq" if model == "vfa" else "own"
        nets = [c for c in r.real if c.row == row and c.model == model and c.reference == reference]
        worst = max(nets, key=lambda c: c.ratio.value, default=None)
        ours = NOTHING
        if worst is not None:
            below = sum(c.ratio.value <= 1 for c in nets)
            where_worst = f"{worst.data}, {worst.quantity}, {worst.subset}, {worst.box} limits"
            ours = f"ratio ≤ 1 in {below} of {len(nets)}; worst {worst.ratio} ({where_worst})"
        lines.append((where, claim, ours))
    lines.append(
        ("3.1.4-5, Figs 6, 8", "squared errors fall with the number of measurements", _falls(r, row))
    )
    return lines


def _falls(r: Results, row: str) -> str:
    nets = [c for c in r.real if c.row == row and c.reference == "lsq" and c.subset == "random"]
    if not nets:
        return NOTHING
    groups: dict[tuple[str, str, str], list[float]] = {}
    for c in sorted(nets, key=lambda c: c.length):
        groups.setdefault((c.data, c.box, c.quantity), []).append(c.mse)
    falling = sum(g[-1] < g[0] for g in groups.values())
    return f"longest below shortest in {falling} of {len(groups)} (scan, limits, parameter), random subsets"


def _general(r: Results, row: str) -> list[Claim]:
    mse = partial(_mse, row)
    long = [g for g in _outside(r, "etofts") if "40 x" in g[0] or "60 x" in g[0]]
    other = [g for g in _outside(r, "vfa") if "1/6" not in g[0]]
    wide = [g for model in SHOWN for c in r.of("wide", model) for g in [(c.label[0], c)]]
    return [
        (
            "4, discussion",
            "NCDE performs like MLPs made for the protocol",
            "; ".join(_mlp(r, row, m) for m in SHOWN),
        ),
        ("4, discussion", "not trainable beyond 30 data points", f"40 and 60 frames: {mse(long)}"),
        ("4, discussion", "needs an image at 1° (VFA) to normalise", f"without: {mse(other)}"),
        ("4, discussion", "tied to one range of parameters", f"limits told at run time, wide: {mse(wide)}"),
        (
            "4, discussion",
            "TR in one series must not vary; other TR by estimating TR / T1",
            "TR of every image is an input",
        ),
        ("4, discussion", "NCDE needs a GPU, LSQ a CPU", "CPU only"),
    ]


def _outside(r: Results, model: str) -> Groups:
    return [(str(c.label[0]), c) for c in r.of("outside", model)]


def _mse(row: str, groups: Groups, quantities: Sequence[str] | None = None) -> str:
    return f"MSE ÷ lsq {span(compared(groups, row, 'lsq', quantities))}"


def _other(row: str, groups: Groups, name: str) -> str:
    names = {"upper": "75th percentile", "median": "median", "variance": "variance"}
    found = statistic(groups, row, "lsq", name)
    if not found:
        return NOTHING
    worst = max(found, key=lambda f: f.ratio.value)
    below = sum(f.ratio.value <= 1 for f in found)
    largest = f"largest {worst.ratio.value:.2f} ({worst.quantity}, {worst.where})"
    return f"{names[name]} ÷ lsq ≤ 1 in {below} of {len(found)}; {largest}"


def _bias(row: str, groups: Groups) -> str:
    return f"largest absolute bias ÷ root MSE: {bias(groups, row)}; lsq: {bias(groups, 'lsq')}"


def _longer(r: Results, row: str, model: str) -> str:
    return f"shortest to longest: {by_length(r, model, row)}; lsq: {by_length(r, model, 'lsq')}"


def _mlp(r: Results, row: str, model: str) -> str:
    found = compared(r.at_snr("fixed", model, paper=True), row, "mlp")
    return f"{model}, MSE ÷ MSE(mlp): {span(found)}"


def _costs(r: Results, row: str, model: str, rates: tuple[int, int, int], epoch: int) -> list[Claim]:
    where = {"vfa": "3.1.1", "ivim": "3.1.2", "etofts": "3.1.3"}[model]
    speeds = {s.row: s for s in r.speeds if s.model == model}
    ours = ", ".join(
        f"{name} {speeds[name].two:,.0f}" for name in (row, "lsq", "mlp", "curve_fit") if name in speeds
    )
    said = f"curves per second: NCDE {rates[0]}, LSQ {rates[1]}, MLP {rates[2]} (NCDE on a GPU)"
    cost = ", ".join(f"{key} {value}" for key, value in r.cards.get((row, model), {}).get("cost", {}).items())
    trained = f"training {epoch} s per epoch: {750 * epoch / 3600:.0f} h"
    return [
        (where, said, f"{ours or NOTHING} on two cores"),
        (where, trained, f"from the card: {cost or NOTHING}"),
    ]
