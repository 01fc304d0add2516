"""What the study claims, row by row, beside what was measured here."""

from __future__ import annotations

from collections.abc import Sequence

from kuppens.cells import SHOWN
from kuppens.results import Results, by_length, compared, span, statistic

Claim = tuple[str, str, str]
"""Where in the study, what it says (in our words), what was measured here."""

NOTHING = "not measured"


def claims(results: Results) -> list[Claim]:
    return [*_vfa(results), *_ivim(results), *_dce(results), *_in_vivo(results), *_general(results)]


def table(found: Sequence[Claim]) -> list[str]:
    lines = ["| study | claim | here: ncde |", "|---|---|---|"]
    return [*lines, *(f"| {where} | {says} | {ours} |" for where, says, ours in found), ""]


def _vfa(r: Results) -> list[Claim]:
    low, high = (r.at_snr("variable", "vfa", f) for f in (lambda s: s < 200, lambda s: s >= 200))
    fixed = r.at_snr("fixed", "vfa", lambda s: s <= 200)
    every = r.at_snr("variable", "vfa", paper=True)
    where = "3.1.1, Fig 2"
    return [
        (f"{where} left", "SNR < 200: NCDE has the lower mean squared error (MSE) of T1 than LSQ", _mse(low)),
        (f"{where} left", "SNR < 200: and the lower median, but at SNR 150", _other(low, "median")),
        (f"{where} left", "SNR < 200: and the lower 75th percentile", _other(low, "upper")),
        (f"{where} left", "SNR ≥ 200: LSQ is better", _mse(high)),
        (f"{where} centre", "NCDE and LSQ are more accurate for longer sequences", _longer(r, "vfa")),
        (f"{where} centre", "NCDE has the lower MSE at every length", _mse(r.at_length("vfa"))),
        (f"{where} right", "fixed protocol, SNR ≤ 200: NCDE has the lower MSE", _mse(fixed)),
        (
            f"{where} right",
            "fixed protocol, SNR ≤ 200: MLP has the lower MSE than LSQ",
            f"mlp: {_mse(fixed, row='mlp')}",
        ),
        (f"{where} right", "MLP has the lower MSE than NCDE at low SNR, not at high SNR", _mlp(r, "vfa")),
        ("3.1.1, Fig S1", "lower variance of the error than LSQ at every SNR", _other(every, "variance")),
        ("3.1.1, Fig S1", "larger bias than LSQ, most at low SNR", _other(every, "bias")),
        *_costs(r, "vfa", (310, 277, 714), 63),
    ]


def _ivim(r: Results) -> list[Claim]:
    low, high = (r.at_snr("variable", "ivim", f) for f in (lambda s: s <= 20, lambda s: s >= 40))
    fixed = r.at_snr("fixed", "ivim", lambda s: s <= 30)
    every = r.at_snr("variable", "ivim", paper=True)
    where = "3.1.2, Fig 3"
    return [
        (f"{where} middle", "SNR ≤ 20: NCDE has the lower MSE for all parameters", _mse(low)),
        (f"{where} middle", "SNR ≤ 20: and the lower median", _other(low, "median")),
        (f"{where} middle", "SNR ≥ 40: LSQ is better for D and f", _mse(high, ("d", "f"))),
        (f"{where} middle", "SNR ≥ 40: NCDE is better for D*", _mse(high, ("dstar",))),
        (f"{where} bottom", "NCDE and LSQ are more accurate for longer sequences", _longer(r, "ivim")),
        (f"{where} bottom", "nearly every length: NCDE has the lower MSE", _mse(r.at_length("ivim"))),
        (f"{where} bottom", "nearly every length: and 75th percentile", _other(r.at_length("ivim"), "upper")),
        (f"{where} top", "fixed, SNR ≤ 30: NCDE has the lower MSE but for f at SNR 20", _mse(fixed)),
        (f"{where} top", "fixed, SNR ≤ 30: so has MLP but for D at SNR 10", f"mlp: {_mse(fixed, row='mlp')}"),
        ("3.1.2, Fig S2", "lower variance of the error than LSQ at every SNR", _other(every, "variance")),
        ("3.1.2, Fig S2", "larger bias at high SNR", _other(high, "bias")),
        *_costs(r, "ivim", (133, 140, 500), 107),
    ]


def _dce(r: Results) -> list[Claim]:
    some, least = (
        r.at_snr("variable", "etofts", f, paper=True) for f in (lambda s: s >= 10, lambda s: s == 5)
    )
    fixed = r.at_snr("fixed", "etofts", lambda s: s <= 40)
    every, lengths = r.at_snr("variable", "etofts", paper=True), r.at_length("etofts")
    where = "3.1.3, Fig 4"
    return [
        (f"{where} middle", "SNR ≥ 10: NCDE has the lower MSE for ke, ve and vp", _mse(some)),
        (f"{where} middle", "SNR ≥ 10: mostly the lower 75th percentile", _other(some, "upper")),
        (f"{where} middle", "SNR 5: LSQ has the lower MSE for ke and ve", _mse(least, ("kep", "ve"))),
        (f"{where} middle", "SNR 5: NCDE has the lower MSE for vp", _mse(least, ("vp",))),
        (f"{where} bottom", "NCDE and LSQ are more accurate for longer sequences", _longer(r, "etofts")),
        (f"{where} bottom", "nearly every length: NCDE has the lower MSE", _mse(lengths)),
        (f"{where} bottom", "nearly every length: and 75th percentile", _other(lengths, "upper")),
        (f"{where} top", "fixed, SNR ≤ 40: NCDE has the lower MSE but for ke and ve at SNR 5", _mse(fixed)),
        (f"{where} top", "fixed, SNR ≤ 40: so has MLP", f"mlp: {_mse(fixed, row='mlp')}"),
        (
            "3.1.3, Fig S3",
            "lower variance than LSQ but for ke at SNR ≤ 10 and ve at SNR 5",
            _other(every, "variance"),
        ),
        ("3.1.3, Fig S3", "larger bias of ve at high SNR, of ke at low SNR", _other(every, "bias")),
        *_costs(r, "etofts", (60, 27, 303), 198),
    ]


def _in_vivo(r: Results) -> list[Claim]:
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
        nets = [c for c in r.real if c.row == "ncde" and c.model == model and c.reference == reference]
        worst = max(nets, key=lambda c: c.ratio.value, default=None)
        ours = NOTHING
        if worst is not None:
            below = sum(c.ratio.value <= 1 for c in nets)
            where_worst = f"{worst.data}, {worst.quantity}, {worst.subset}, {worst.box} limits"
            ours = f"ratio ≤ 1 in {below} of {len(nets)}; worst {worst.ratio} ({where_worst})"
        lines.append((where, claim, ours))
    lines.append(("3.1.4-5, Figs 6, 8", "squared errors fall with the number of measurements", _falls(r)))
    return lines


def _falls(r: Results) -> str:
    nets = [c for c in r.real if c.row == "ncde" and c.reference == "lsq" and c.subset == "random"]
    if not nets:
        return NOTHING
    groups: dict[tuple[str, str, str], list[float]] = {}
    for c in sorted(nets, key=lambda c: c.length):
        groups.setdefault((c.data, c.box, c.quantity), []).append(c.mse)
    falling = sum(g[-1] < g[0] for g in groups.values())
    return f"longest below shortest in {falling} of {len(groups)} (scan, limits, parameter), random subsets"


def _general(r: Results) -> list[Claim]:
    long = [g for g in _outside(r, "etofts") if "40 x" in g[0] or "60 x" in g[0]]
    other = [g for g in _outside(r, "vfa") if "1/6" not in g[0]]
    wide = [g for model in SHOWN for c in r.of("wide", model) for g in [(c.label[0], c)]]
    return [
        (
            "4, discussion",
            "NCDE performs like MLPs made for the protocol",
            "; ".join(_mlp(r, m) for m in SHOWN),
        ),
        ("4, discussion", "not trainable beyond 30 data points", f"40 and 60 frames: {_mse(long)}"),
        ("4, discussion", "needs an image at 1° (VFA) to normalise", f"without: {_mse(other)}"),
        ("4, discussion", "tied to one range of parameters", f"limits told at run time, wide: {_mse(wide)}"),
        (
            "4, discussion",
            "TR in one series must not vary; other TR by estimating TR / T1",
            "TR of every image is an input",
        ),
        ("4, discussion", "NCDE needs a GPU, LSQ a CPU", "CPU only"),
    ]


def _outside(r: Results, model: str) -> list[tuple[str, object]]:
    return [(str(c.label[0]), c) for c in r.of("outside", model)]


def _mse(
    groups: Sequence[tuple[str, object]], quantities: Sequence[str] | None = None, row: str = "ncde"
) -> str:
    return f"MSE ÷ lsq {span(compared(groups, row, 'lsq', quantities))}"  # type: ignore[arg-type]


def _other(groups: Sequence[tuple[str, object]], name: str) -> str:
    names = {"upper": "75th percentile", "median": "median", "variance": "variance", "bias": "absolute bias"}
    found = statistic(groups, "ncde", "lsq", name)  # type: ignore[arg-type]
    if not found:
        return NOTHING
    worst = max(found, key=lambda f: f.ratio.value)
    below = sum(f.ratio.value <= 1 for f in found)
    largest = f"largest {worst.ratio.value:.2f} ({worst.quantity}, {worst.where})"
    return f"{names[name]} ÷ lsq ≤ 1 in {below} of {len(found)}; {largest}"


def _longer(r: Results, model: str) -> str:
    return f"shortest to longest, ncde: {by_length(r, model, 'ncde')}; lsq: {by_length(r, model, 'lsq')}"


def _mlp(r: Results, model: str) -> str:
    found = compared(r.at_snr("fixed", model, paper=True), "ncde", "mlp")
    return f"{model}, MSE(ncde) ÷ MSE(mlp): {span(found)}"


def _costs(r: Results, model: str, rates: tuple[int, int, int], epoch: int) -> list[Claim]:
    where = {"vfa": "3.1.1", "ivim": "3.1.2", "etofts": "3.1.3"}[model]
    speeds = {s.row: s for s in r.speeds if s.model == model}
    ours = ", ".join(
        f"{row} {speeds[row].two:,.0f}" for row in ("ncde", "lsq", "mlp", "curve_fit") if row in speeds
    )
    said = f"curves per second: NCDE {rates[0]}, LSQ {rates[1]}, MLP {rates[2]} (NCDE on a GPU)"
    cost = ", ".join(f"{key} {value}" for key, value in r.cards.get(model, {}).get("cost", {}).items())
    trained = f"training {epoch} s per epoch: {750 * epoch / 3600:.0f} h"
    return [
        (where, said, f"{ours or NOTHING} on two cores"),
        (where, trained, f"from the card: {cost or NOTHING}"),
    ]
