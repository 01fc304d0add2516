"""What every quality metric means: unit and definition, for data dictionaries and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bids_qmri.estimators.base import STATUS_MEANING
from bids_qmri.estimators.determined import NARROW
from bids_qmri.qc.agreement import REFERENCES
from bids_qmri.qc.common import COMMON
from bids_qmri.qc.metrics import FITTED
from bids_qmri.qc.smoothness import SAMPLED

MASK = "mask"
"""Name of the region that is the whole mask."""

REGION = f"Voxels of the row: {MASK} for the whole mask, else a region of the segmentation that was given."
"""What the column ``region`` of tables means."""

_WHERE = "over voxels estimated, at a bound or not"
_DETERMINED = f"{_WHERE}, where known only over those in which the data determine it"
_STATISTICS = {
    "median": "Median",
    "iqr": "Interquartile range",
    "p05": "5th percentile",
    "p95": "95th percentile",
}
_NEIGHBOURS = "0 for errors without spatial structure"


@dataclass(frozen=True)
class Metric:
    """What a metric means.

    Parameters
    ----------
    units
        CMIXF-12 string or ``"arbitrary"``.
    description
        One sentence.
    """

    units: str
    description: str


def as_text(value: float | None) -> str:
    """Return a number with full precision as tables write it, ``n/a`` for None."""
    return "n/a" if value is None else repr(value)


def metric_definitions(
    units: Mapping[str, str], rmse_units: str, references: Sequence[str] = REFERENCES
) -> dict[str, Metric]:
    """Say what all metrics of a fit mean, in the order of tables.

    Parameters
    ----------
    units
        Unit of every map, by parameter name.
    rmse_units
        Unit of the residual.
    references
        Estimators that the fit is compared with.
    """
    return {
        **_status_definitions(),
        **_map_definitions(units),
        **_residual_definitions(rmse_units),
        **_series_definitions(),
        **_motion_definitions(),
        **_agreement_definitions(units, references),
        **_common_definitions(units),
    }


def _status_definitions() -> dict[str, Metric]:
    known = {"n_voxels": Metric("1", "Number of voxels in the mask, or of the region inside the mask.")}
    for status in FITTED:
        meaning = STATUS_MEANING[status]
        known[f"n_{status.name.lower()}"] = Metric("1", f"Number of voxels: {meaning}.")
    for status in FITTED:
        meaning = STATUS_MEANING[status]
        known[f"fraction_{status.name.lower()}"] = Metric("1", f"Fraction of n_voxels, 0 to 1: {meaning}.")
    return known


def _map_definitions(units: Mapping[str, str]) -> dict[str, Metric]:
    known: dict[str, Metric] = {}
    for name, unit in units.items():
        for key, words in _STATISTICS.items():
            known[f"{name}_{key}"] = Metric(unit, f"{words} of {name} {_DETERMINED}.")
        known[f"{name}_sd_median"] = Metric(unit, f"Median standard deviation of {name} {_DETERMINED}.")
        known[f"{name}_at_bound"] = Metric(
            "1", f"Fraction of the voxels with an estimate where {name} lies at one of its limits, 0 to 1."
        )
        known[f"{name}_determined"] = Metric(
            "1",
            f"Fraction of the voxels with an estimate where the data determine {name}, 0 to 1: its standard "
            f"deviation is at most {NARROW:g} of that of a guess within the default limits, and it lies at "
            "no limit.",
        )
    return known


def _residual_definitions(units: str) -> dict[str, Metric]:
    return {
        "rmse_median": Metric(units, f"Median root mean square residual {_WHERE}."),
        "nrmse": Metric("1", "Ratio of rmse_median to the median amplitude (such as M0 or S0)."),
        "rmse_autocorrelation": Metric(
            "1", f"Correlation of log rmse between voxels that share a face; {_NEIGHBOURS}."
        ),
        "residual_autocorrelation": Metric(
            "1",
            "Correlation of signed residuals between neighbours along the first and second image axis, mean "
            f"of both, in the first {SAMPLED} of each block of voxels; {_NEIGHBOURS}.",
        ),
        "residual_fwhm": Metric(
            "mm",
            "Full width at half maximum of the Gaussian that would smooth noise to the in-plane "
            "autocorrelation of the residuals, geometric mean of both axes.",
        ),
    }


def _series_definitions() -> dict[str, Metric]:
    shells = "shells of at least 3 images"
    return {
        "sigma": Metric(
            "arbitrary",
            "Standard deviation of one image about the model, motion included: median over the mask.",
        ),
        "noise_floor": Metric(
            "arbitrary", "Thermal noise of one image, which passes for signal where there is none."
        ),
        "sigma_repeats": Metric(
            "arbitrary",
            "Noise standard deviation of one image, from images that should be equal (lowest b-value, frames "
            "before the bolus): root of the median variance over voxels; needs 2 images.",
        ),
        "signal_median": Metric(
            "arbitrary",
            "Median over the mask of the mean reference image (lowest b-value, frames before the bolus, all "
            "flip angles).",
        ),
        "snr": Metric("1", "Ratio of signal_median to sigma, or to sigma_repeats where sigma is missing."),
        "shell_decay_rises": Metric(
            "1",
            "Number of steps from one b-value to the next at which the mean signal over that of the lowest "
            "b-value rises; 0 is expected.",
        ),
        "shell_decay_max_step": Metric(
            "1",
            "Largest step of the mean signal over that of the lowest b-value from one b-value to the next; "
            "below 0 if it falls throughout.",
        ),
        "shell_correlation_median": Metric(
            "1",
            "Median over images of the spatial correlation inside the mask between an image and the mean of "
            f"the others of its b-value, {shells}.",
        ),
        "shell_correlation_min": Metric(
            "1",
            "Smallest over images of the spatial correlation inside the mask between an image and the mean "
            f"of the others of its b-value, {shells}; low after motion or dropout.",
        ),
        "b1_coverage": Metric("1", "Fraction of the mask where the transmit field is known, 0 to 1."),
        "denoised_fraction": Metric(
            "1",
            "Variance that denoising removed over what of independent noise it removes, median of the mask:"
            " above 1 where signal went too, below where noise that neighbours share stayed.",
        ),
    }


def _motion_definitions() -> dict[str, Metric]:
    return {
        "motion_max": Metric("mm", "Largest translation of an image, seen from the reference."),
        "framewise_displacement_mean": Metric(
            "mm", "Mean over images of the absolute changes of place from the image before, added."
        ),
        "outlier_images": Metric(
            "1", "Number of images with slices of dropped signal or spikes, unlike others of their kind."
        ),
    }


def _agreement_definitions(units: Mapping[str, str], references: Sequence[str]) -> dict[str, Metric]:
    known: dict[str, Metric] = {}
    for reference in references:
        both = (
            f"over voxels that {reference} of the same acquisition estimated too, where known only those in "
            "which the data determine it for both"
        )
        for name, unit in units.items():
            difference = f"of {name} minus that by {reference} {both}"
            known[f"{name}_bias_{reference}"] = Metric(unit, f"Median {difference}.")
            known[f"{name}_loa_low_{reference}"] = Metric(
                unit, f"Lower limit of agreement: 2.5th percentile {difference}."
            )
            known[f"{name}_loa_high_{reference}"] = Metric(
                unit, f"Upper limit of agreement: 97.5th percentile {difference}."
            )
    return known


def _common_definitions(units: Mapping[str, str]) -> dict[str, Metric]:
    known: dict[str, Metric] = {}
    for name, unit in units.items():
        where = (
            f"that all estimators of the acquisition have a value of {name} in, where known only those in "
            "which the data determine it for each"
        )
        meanings = (
            Metric(unit, f"Median of {name} over the voxels {where}."),
            Metric("1", f"Voxels {where}."),
        )
        known |= {f"{name}_{key}": one for key, one in zip(COMMON, meanings, strict=True)}
    return known
