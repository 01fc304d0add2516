"""Transmit fields: by hand, by every method, as maps, and what is said where there is no formula."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import synth
import synth_contrasts as contrasts
from case_runs import run_command
from reading import refused

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.estimators.base import Status, get_estimator
from bids_qmri.physics.transmit import (
    DoubleAngle,
    ScaledField,
    StimulatedEchoes,
    TransmitProtocol,
    TwoRepetitionTimes,
)
from bids_qmri.techniques.tb1.model import FIELD

ANGLES = np.deg2rad(np.arange(65.0, 116.0, 5.0))
METHODS: dict[str, TransmitProtocol] = {
    "double": DoubleAngle(np.deg2rad([120.0, 60.0])),
    "two times": TwoRepetitionTimes(np.deg2rad([60.0, 60.0]), np.array([0.02, 0.1])),
    "echoes": StimulatedEchoes(ANGLES, np.asarray(0.0338)),
    "one pair of echoes": StimulatedEchoes(np.deg2rad([60.0]), np.asarray(0.0338)),
}


def test_known_fields_by_hand() -> None:
    """Half the signal at the double angle: cos x = 1/4; equal signals at both times: cos x = 1."""
    double = DoubleAngle(np.deg2rad([60.0, 120.0]))
    np.testing.assert_allclose(
        double.field(np.array([[2.0], [1.0]])), np.arccos(0.25) / np.deg2rad(60), rtol=1e-12
    )
    times = TwoRepetitionTimes(np.deg2rad([60.0, 60.0]), np.array([0.02, 0.1]))
    np.testing.assert_allclose(times.field(np.ones((2, 1))), 0.0, atol=1e-7)
    # A right angle stores nothing: no stimulated echo.
    echoes = StimulatedEchoes(np.deg2rad([60.0]), np.asarray(0.03))
    np.testing.assert_allclose(echoes.field(np.array([[1.0], [0.0]])), 1.5, rtol=1e-6)
    np.testing.assert_allclose(ScaledField(np.asarray(1 / 800)).field(np.array([[880.0]])), 1.1)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_finds_its_own_field(method: str) -> None:
    protocol = METHODS[method]
    truth = np.linspace(0.7, 1.3, 61)
    fit = get_estimator("tb1", "ratio").fit(FIELD, (800 * protocol.contrast(truth)).T, protocol, sigma=1.0)
    np.testing.assert_allclose(fit.maps["b1"], truth, rtol=1e-4)
    np.testing.assert_allclose(fit.maps["s0"], 800, rtol=1e-3)
    assert set(fit.status) == {Status.OK}
    np.testing.assert_allclose(fit.residual, 0.0, atol=1e-2)


@pytest.mark.parametrize("method", list(METHODS))
def test_error_bars_are_those_of_repeated_scans(method: str) -> None:
    protocol, rng = METHODS[method], np.random.default_rng(3)
    clean = 1000 * protocol.contrast(np.full(4000, 0.95))
    fit = get_estimator("tb1", "ratio").fit(
        FIELD, (clean + 4 * rng.normal(size=clean.shape)).T, protocol, sigma=4
    )
    assert np.nanstd(fit.maps["b1"]) == pytest.approx(np.nanmedian(fit.sd["b1"]), rel=0.05)


def test_ratios_that_no_angle_has_are_unusable() -> None:
    fit = get_estimator("tb1", "ratio").fit(FIELD, np.array([[3.0, 1.0], [0.0, 0.0]]), METHODS["double"])
    assert list(fit.status) == [Status.UNUSABLE] * 2
    assert np.all(np.isnan(fit.maps["b1"]))


def test_echoes_do_not_mind_a_wrong_t1_much() -> None:
    """Angles on both sides of 90 degrees: T1 half as long changes the field by less than 1 %."""
    stored = StimulatedEchoes(ANGLES, np.asarray(0.0338), np.asarray(0.6))
    truth = np.linspace(0.8, 1.2, 21)
    np.testing.assert_allclose(METHODS["echoes"].field(stored.contrast(truth)), truth, rtol=0.01)


TRUTH = contrasts.body(0.75, 1.25)


def _write(root: Path, images: Mapping[str, tuple[np.ndarray, dict[str, Any]]]) -> None:
    contrasts.add_series(root, "fmap", images, sigma=1.0)


def _contrast(protocol: TransmitProtocol) -> list[np.ndarray]:
    return [1000 * row.reshape(TRUTH.shape) for row in protocol.contrast(TRUTH.ravel())]


def add_double(root: Path) -> None:
    low, high = _contrast(DoubleAngle(np.deg2rad([60.0, 120.0])))
    _write(
        root,
        {
            "sub-01_flip-1_TB1DAM": (low, {"FlipAngle": 60}),
            "sub-01_flip-2_TB1DAM": (high, {"FlipAngle": 120}),
        },
    )


def add_two_times(root: Path) -> None:
    first, second = _contrast(METHODS["two times"])
    keys = {"FlipAngle": 60}
    _write(
        root,
        {
            "sub-01_acq-tr1_TB1AFI": (first / 6, keys | {"RepetitionTimeExcitation": 0.02}),
            "sub-01_acq-tr2_TB1AFI": (second / 6, keys | {"RepetitionTimeExcitation": 0.1}),
        },
    )


def add_echoes(root: Path, **more: Any) -> None:
    images = {}
    for index, image in enumerate(_contrast(METHODS["echoes"])):
        echo, flip = divmod(index, ANGLES.size)
        keys = {"FlipAngle": round(float(np.rad2deg(ANGLES[flip]))), "EchoTime": (0.039, 0.13)[echo]}
        images[f"sub-01_echo-{echo + 1}_flip-{flip + 1:02d}_TB1EPI"] = (
            image,
            {**keys, "MixingTime": 0.0338, **more},
        )
    _write(root, images)


def add_scaled(root: Path, suffix: str = "TB1TFL") -> None:
    anatomy = {"FlipAngle": 80}
    _write(
        root,
        {
            f"sub-01_acq-anat_{suffix}": (1000 * np.ones_like(TRUTH), anatomy),
            f"sub-01_acq-famp_{suffix}": (800 * TRUTH, {"FlipAngle": 80, "Units": "degree*10"}),
        },
    )


SETS = {"TB1DAM": add_double, "TB1AFI": add_two_times, "TB1EPI": add_echoes, "TB1TFL": add_scaled}


@pytest.mark.parametrize("suffix", list(SETS))
def test_a_map_is_written_with_sidecar_and_page(tmp_path: Path, suffix: str) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    SETS[suffix](root)
    ran = run_command(root, tmp_path)
    assert ran.code == 0, ran.printed
    (path,) = ran.maps("sub-01_desc-ratio_TB1map")
    assert path.parent.name == "fmap"
    found = np.asarray(nibabel.load(path).dataobj)[contrasts.BODY]
    assert np.nanmedian(np.abs(found / TRUTH - 1)) < 0.01
    sidecar = ran.sidecar("sub-01_desc-ratio_TB1map")
    assert sidecar["Units"] == "1"
    assert "doi:" in str(sidecar)
    assert (ran.folder / "sub-01.html").exists()
    if suffix != "TB1TFL":
        (spread,) = ran.maps("sub-01_desc-ratioStd_TB1map")
        assert np.nanmedian(np.asarray(nibabel.load(spread).dataobj)[contrasts.BODY]) < 0.01


def test_stimulated_echoes_correct_other_fits(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path)
    contrasts.add_mt_series(root, b1=TRUTH)
    add_echoes(root)
    (found,) = [one for one in find(root, "01") if one.kind == "mpm"]
    assert isinstance(found, Acquisition)
    assert found.b1 is not None
    assert found.b1.method == "TB1EPI"


def test_a_map_beside_stimulated_echoes_is_taken(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path)
    contrasts.add_mt_series(root)
    add_echoes(root)
    path = synth.write_image(root / "sub-01" / "fmap" / "sub-01_TB1map.nii.gz", contrasts.whole(TRUTH))
    synth.write_json(path.with_name("sub-01_TB1map.json"), {"Units": "1"})
    (found,) = [one for one in find(root, "01") if one.kind == "mpm"]
    assert isinstance(found, Acquisition)
    assert found.b1 is not None
    assert found.b1.files == (path,)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"MixingTime": None}, "MixingTime"),
        ({"MixingTime": 33.8}, "MixingTime"),
        ({"EchoTime": 0.04}, "EchoTime"),
    ],
)
def test_echoes_without_what_the_formula_takes_are_refused_by_key(
    tmp_path: Path, more: dict[str, Any], field: str
) -> None:
    root = synth.new_dataset(tmp_path)
    add_echoes(root, **more)
    assert refused(root).error.field == field


def test_echoes_without_a_mixing_time_cost_no_other_fit(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path)
    contrasts.add_mt_series(root)
    add_echoes(root, MixingTime=None)
    (found,) = [one for one in find(root, "01") if one.kind == "mpm"]
    assert isinstance(found, Acquisition)
    assert found.b1 is None


@pytest.mark.parametrize("suffix", ["TB1TFL", "TB1RFM"])
def test_a_map_without_a_scale_is_named_with_the_way_out(tmp_path: Path, suffix: str) -> None:
    root = synth.new_dataset(tmp_path)
    add_scaled(root, suffix)
    synth.edit_json(root / "sub-01" / "fmap" / f"sub-01_acq-famp_{suffix}.json", Units=None)
    found = refused(root)
    assert not found.fault
    assert "--b1-units" in found.error.fix
    (given,) = find(root, "01", ReadOptions(b1_units=800.0))
    assert isinstance(given, Acquisition)


@pytest.mark.parametrize(("suffix", "word"), [("TB1SRGE", "saturation pulse"), ("RB1COR", "coil")])
def test_what_has_no_formula_is_named_and_nobody_fails(tmp_path: Path, suffix: str, word: str) -> None:
    root = synth.new_dataset(tmp_path)
    synth.write_image(root / "sub-01" / "fmap" / f"sub-01_{suffix}.nii.gz", np.ones(synth.SHAPE))
    found = refused(root)
    assert not found.fault
    assert word in str(found.error)


def test_a_pair_that_lacks_an_image_is_refused(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path)
    add_double(root)
    (root / "sub-01" / "fmap" / "sub-01_flip-2_TB1DAM.nii.gz").unlink()
    assert isinstance(refused(root), Unusable)


def test_own_maps_of_the_field_serve_later_runs(tmp_path: Path) -> None:
    """Error bars and fields of other fits lie beside them and are not taken for a field."""
    root, derived = synth.new_dataset(tmp_path / "raw"), synth.new_dataset(tmp_path / "own", "derivative")
    synth.add_vfa(root)
    for name in ("desc-ratio", "desc-ratioStd", "desc-ratioStatus", "model-other_desc-lsq"):
        path = derived / "sub-01" / "fmap" / f"sub-01_{name}_TB1map.nii.gz"
        synth.write_image(path, np.ones(synth.SHAPE))
    (found,) = find(root, "01", ReadOptions(derivatives={"own": derived}))
    assert isinstance(found, Acquisition)
    assert found.b1 is not None
    assert found.b1.files[0].name == "sub-01_desc-ratio_TB1map.nii.gz"
