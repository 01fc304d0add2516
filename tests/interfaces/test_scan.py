"""One acquisition is read once: images, noise level and averages serve all models and estimators of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import synth
from runs import run_config, run_fit

from bids_qmri.estimation import averaging
from bids_qmri.interfaces import opening, scan
from bids_qmri.interfaces.fit import run_acquisition
from bids_qmri.interfaces.job import AcquisitionJob
from bids_qmri.workflows.plan import make_plan

BVALS = (*synth.IVIM_BVALS, *([1000] * 12))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is costly, by name."""
    counted: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(module, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            counted[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)

    for name in ("open_images", "find_mask"):
        count(opening, name)
    for name in ("open_images", "residuals_of", "load_b1"):
        count(scan, name)
    count(averaging, "average_directions")
    return counted


def planned(bids: Path, folder: Path, **choices: Any) -> AcquisitionJob:
    [job] = make_plan(run_config(bids, folder / "out", folder / "work", **choices), "01").jobs
    return job


def maps(folder: Path) -> dict[str, np.ndarray]:
    return {p.name: np.asarray(nib.load(p).dataobj) for p in (folder / "out").rglob("*.nii.gz")}


def test_all_fits_of_an_acquisition_share_one_reading(
    bids: Path, tmp_path: Path, calls: Counter[str]
) -> None:
    synth.add_ivim(bids, bvals=BVALS)
    choices = {"models": ("ivim", "dti"), "estimators": ("lsq", "mle", "map", "bayes")}
    job = planned(bids, tmp_path / "together", **choices)
    assert [fit.name.split()[-1] for fit in job.fits] == ["lsq", "mle", "map", "bayes", "wls"]
    assert [outcome.error for outcome in run_acquisition(job)] == [""] * 5
    shared = dict(calls)
    assert shared["open_images"] == shared["find_mask"] == 1
    for fit in planned(bids, tmp_path / "apart", **choices).fits:
        assert not run_fit(fit).error
    assert calls["open_images"] - shared["open_images"] == 5
    together, apart = maps(tmp_path / "together"), maps(tmp_path / "apart")
    assert together.keys() == apart.keys()
    for name, values in together.items():
        np.testing.assert_array_equal(values, apart[name], err_msg=name)


def test_directions_are_averaged_and_noise_is_estimated_once(
    bids: Path, tmp_path: Path, calls: Counter[str]
) -> None:
    synth.add_ivim(bids)
    counts = []
    for labels in (("lsq",), ("lsq", "mle")):
        calls.clear()
        job = planned(bids, tmp_path / "-".join(labels), models=("ivim",), estimators=labels)
        assert [outcome.error for outcome in run_acquisition(job)] == [""] * len(labels)
        counts.append(dict(calls))
    alone, both = counts
    # Of the one block of voxels for the fits, and of those that the noise level is estimated from.
    assert both["average_directions"] <= alone["average_directions"] + 1
    assert both["residuals_of"] == 1


def test_the_t1_of_a_contrast_series_is_fitted_once(
    bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []
    original = scan.OpenAcquisition._fitted

    def counting(self: scan.OpenAcquisition, source: Any) -> Any:
        fitted.append(source.model)
        return original(self, source)

    monkeypatch.setattr(scan.OpenAcquisition, "_fitted", counting)
    synth.add_vfa(bids)
    synth.add_dce(bids)
    plan = make_plan(
        run_config(
            bids, tmp_path / "out", tmp_path / "work", models=("etofts", "tofts"), estimators=("lsq", "map")
        ),
        "01",
    )
    [job] = plan.jobs
    assert len(job.fits) == 4
    assert [outcome.error for outcome in run_acquisition(job)] == [""] * 4
    assert len(fitted) == 1


def test_a_fit_that_fails_leaves_the_others_alone(bids: Path, tmp_path: Path) -> None:
    synth.add_ivim(bids)
    job = planned(bids, tmp_path, models=("ivim",), estimators=("lsq", "mle"))
    broken = AcquisitionJob(
        (job.fits[0].__class__(**{**vars(job.fits[0]), "bounds": {"d": (1.0, 0.0)}}), job.fits[1])
    )
    first, second = run_acquisition(broken)
    assert first.error
    assert not second.error
