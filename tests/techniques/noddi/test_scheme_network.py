"""Networks for one diffusion scheme: what fits is computed, what differs is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scheme_networks
from scipy.spatial.transform import Rotation

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status, get_estimator
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi import scheme_network
from bids_qmri.techniques.noddi.model import Noddi, noddi_signal
from bids_qmri.techniques.noddi.scheme_network import (
    BLOCK_VOXELS,
    SchemeOnnx,
    load_scheme_network,
    noise_notes,
    require_fit,
    shipped_scheme_network,
)

NAMES = ("ndi", "odi", "fwf")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scheme_networks.write(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    values = np.random.default_rng(0).uniform(20.0, 300.0, (BLOCK_VOXELS + 50, 20))
    # alike, because nothing tells which image at b = 0 is which after a shuffle
    values[:, [0, 10]] = 400.0
    return values


def maps(file: Path, signal, protocol=None) -> np.ndarray:
    found = SchemeOnnx(network=file).fit(Noddi(), signal, protocol or scheme_networks.scheme())
    return np.stack([found.maps[name] for name in NAMES])


def test_inputs_are_divided_by_the_mean_at_b_0(file: Path, signal) -> None:
    found = SchemeOnnx(network=file).fit(Noddi(), signal, scheme_networks.scheme())
    s0 = signal[:, [0, 10]].mean(axis=1)
    np.testing.assert_allclose(found.maps["s0"], s0, rtol=1e-6)
    given = load_scheme_network(file).run((signal / s0[:, None]).astype(np.float32))
    for place, name in enumerate(("odi", "ndi", "fwf")):
        np.testing.assert_allclose(found.maps[name], given[:, place], atol=1e-6)
    assert np.all(found.status == Status.OK)


def test_scale_kind_of_number_threads_and_company_of_voxels_do_not_matter(file: Path, signal) -> None:
    before = maps(file, signal)
    np.testing.assert_allclose(maps(file, 1000.0 * signal), before, atol=1e-6)
    np.testing.assert_allclose(maps(file, signal.astype(np.float32)), before, atol=1e-6)
    np.testing.assert_allclose(maps(file, signal[7:9]), before[:, 7:9], atol=1e-6)
    parallel = SchemeOnnx(network=file, threads=2).fit(Noddi(), signal, scheme_networks.scheme())
    np.testing.assert_array_equal(np.stack([parallel.maps[name] for name in NAMES]), before)
    np.testing.assert_allclose(maps(file, signal.astype(np.int16)), before, atol=5e-3)


def test_order_of_volumes_and_a_rotation_of_all_directions_change_nothing(file: Path, signal) -> None:
    scheme = scheme_networks.scheme()
    order = np.random.default_rng(1).permutation(20)
    rotated = -scheme.bvecs @ Rotation.random(random_state=3).as_matrix().T
    scan = replace(scheme, bvals=scheme.bvals[order], bvecs=rotated[order])
    np.testing.assert_allclose(maps(file, signal[:, order], scan), maps(file, signal), atol=1e-6)


def test_voxels_that_cannot_be_used_are_marked_and_disturb_nobody(file: Path, signal) -> None:
    spoilt = signal[:6].copy()
    spoilt[0] = 0.0
    spoilt[1, 4] = np.nan
    spoilt[2, 5] = np.inf
    spoilt[3, [0, 10]] = -5.0
    spoilt[4] *= 1e6
    found = SchemeOnnx(network=file).fit(Noddi(), spoilt, scheme_networks.scheme())
    assert found.status.tolist() == [Status.UNUSABLE] * 4 + [Status.OK] * 2
    assert all(np.isnan(values[:4]).all() and np.isfinite(values[4:]).all() for values in found.maps.values())
    np.testing.assert_allclose(found.maps["ndi"][5], maps(file, signal)[0, 5], atol=1e-6)


def test_answers_of_exactly_0_or_1_lie_at_their_bound(file: Path, signal) -> None:
    extreme = signal[:2].copy()
    extreme[1, 1:10] *= 1e4
    status = SchemeOnnx(network=file).fit(Noddi(), extreme, scheme_networks.scheme()).status
    assert status.tolist() == [Status.OK, Status.AT_BOUND]


def test_noise_quite_unlike_that_of_training_is_said(tmp_path: Path, signal) -> None:
    file = scheme_networks.write(tmp_path, coverage={"snr": [15.0, 15.0]})
    s0 = SchemeOnnx(network=file).fit(Noddi(), signal, scheme_networks.scheme()).maps["s0"]
    notes = {snr: noise_notes(file, s0, 400.0 / snr) for snr in (5, 10, 20, 60)}
    assert [bool(notes[snr]) for snr in notes] == [True, False, False, True]
    assert "trained with a signal-to-noise ratio of 15" in notes[60][0]


def test_a_few_voxels_of_another_noise_say_nothing_of_a_scan(tmp_path: Path) -> None:
    file = scheme_networks.write(tmp_path, coverage={"snr": [15.0, 15.0]})
    fluid_at_the_end = np.repeat([400.0, 1600.0], [300, 20])
    assert noise_notes(file, fluid_at_the_end, 25.0) == ()
    assert noise_notes(file, fluid_at_the_end[-20:], 25.0) != ()


def test_no_voxels_give_empty_maps(file: Path) -> None:
    assert maps(file, np.empty((0, 20))).shape == (3, 0)


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"format": 99}, "format: is 99; needed: 1"),
        ({"model": "sandi"}, "model: is 'sandi'; needed: noddi"),
        ({"normalisation": "first b0"}, "normalisation: is 'first b0'; needed: mean b0"),
        ({"quantities": ["odi", "ndi"]}, r"quantities: are \['odi', 'ndi'\]"),
        ({"d_par": "1.7"}, "d_par: is '1.7'; needed: a diffusivity"),
        ({"scheme": {"bvals": [0, 1]}}, r"scheme: cannot be used \('bvecs'\)"),
        ({"inputs": 19}, r"inputs and outputs: have sizes \[\[19\], \[3\]\] .* needed: \[\[20\], \[3\]\]"),
        ({"card": "nonsense"}, "metadata: no readable card"),
    ],
)
def test_metadata_that_do_not_fit_are_named_with_the_way_out(tmp_path: Path, changes, fragment: str) -> None:
    file = scheme_networks.write(tmp_path, **changes)
    with pytest.raises(InputError, match=rf"random\.onnx: {fragment}.*bids_qmri-train noddi --set scheme"):
        load_scheme_network(file)


@pytest.mark.parametrize("content", [None, b"nothing of the kind"])
def test_a_file_that_is_no_network_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "mine.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"mine\.onnx"):
        load_scheme_network(file)


def test_a_card_beside_the_file_tells_its_hash(tmp_path: Path) -> None:
    file = scheme_networks.write(tmp_path)
    file.with_suffix(".json").write_text(json.dumps({"format": 1, "weights": {"sha256": "0" * 64}}))
    with pytest.raises(InputError, match="sha256: hash of the file is"):
        load_scheme_network(file)


@pytest.mark.parametrize(("field", "model"), [("d_par", Noddi(1.1e-3, 3e-3)), ("d_iso", Noddi(1.7e-3, 2e-3))])
def test_other_diffusivities_are_refused(file: Path, signal, field: str, model: Noddi) -> None:
    with pytest.raises(InputError, match=rf"{field}: .* asked for; needed: .*; fix: ask for"):
        SchemeOnnx(network=file).fit(model, signal, scheme_networks.scheme())


def test_another_scheme_is_refused_with_the_way_out(file: Path) -> None:
    scheme = scheme_networks.scheme()
    with pytest.raises(InputError, match=r"bvals: .*fix: use ncde or lsq, or train one"):
        require_fit(load_scheme_network(file), Noddi(), replace(scheme, bvals=1.2 * scheme.bvals))


def test_another_scheme_is_said_before_diffusivities_which_can_be_changed(file: Path) -> None:
    scheme = scheme_networks.scheme()
    other = replace(scheme, bvals=1.2 * scheme.bvals)
    with pytest.raises(InputError, match=r"^bvals: "):
        require_fit(load_scheme_network(file), Noddi(1.1e-3, 3e-3), other)


def test_a_file_that_is_no_network_is_refused_without_talk_of_a_card(tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    file.write_text("something else")
    with pytest.raises(InputError, match=r"cannot load it .*check that it is an ONNX file") as raised:
        load_scheme_network(file)
    assert "card" not in str(raised.value)


def test_signals_of_another_length_are_refused(file: Path) -> None:
    with pytest.raises(InputError, match=r"shape \(4, 19\); needed: \(voxels, 20\)"):
        SchemeOnnx(network=file).fit(Noddi(), np.ones((4, 19)), scheme_networks.scheme())


def test_unknown_labels_have_no_shipped_network() -> None:
    assert shipped_scheme_network("onnx") is None


@pytest.mark.parametrize("label", ["nngt", "nnmle"])
def test_the_shipped_networks_read_tissue_like_signals(label: str) -> None:
    shipped = shipped_scheme_network(label)
    if shipped is None:
        pytest.skip(f"{label} is not shipped")
    network = load_scheme_network(shipped)
    assert network.card["trained_values"] == 39_243
    assert [int(np.sum(network.scheme.bvals == b)) for b in (0, 700, 2000)] == [9, 24, 48]
    rng = np.random.default_rng(0)
    truth = {"ndi": (0.4, 0.7), "odi": (0.1, 0.4), "fwf": (0.0, 0.3)}
    drawn = {name: rng.uniform(*limits, 2000) for name, limits in truth.items()}
    directions = rng.standard_normal((2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    clean = noddi_signal(**drawn, direction=directions, protocol=network.scheme).T
    found = (
        SchemeOnnx(network=shipped).fit(Noddi(), add_rician_noise(clean, 1 / 40, rng), network.scheme).maps
    )
    for name, limit in (("ndi", 0.12), ("odi", 0.15), ("fwf", 0.1)):
        assert np.sqrt(np.mean((found[name] - drawn[name]) ** 2)) < limit


def test_a_network_is_loaded_once(file: Path) -> None:
    assert load_scheme_network(file) is load_scheme_network(file)
    assert scheme_network.load_scheme_network.cache_info().hits > 0


@pytest.mark.parametrize(("sigma", "said"), [(20.0, False), (200.0, True), (None, False)])
def test_noise_unlike_that_of_training_is_said_of_the_whole_scan(sigma, said):
    s0 = np.repeat([300.0, 3000.0], [90, 10])
    assert bool(get_estimator("noddi", "nnmle").remarks({"s0": s0}, sigma)) == said
    assert get_estimator("noddi", "lsq").remarks({"s0": s0}, sigma) == ()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.5, 1.5])
def test_answers_that_are_no_fractions_are_never_believed(
    file: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """Of ten voxels one gets an answer beyond 0 ... 1; the others stay what they were."""
    network = load_scheme_network(file)
    signal = 100 + np.random.default_rng(1).uniform(size=(10, network.scheme.n_measurements))
    sound = SchemeOnnx(network=file).fit(Noddi(), signal, network.scheme)
    run = scheme_network.run_session

    def spoiled(*arguments):
        (answer,) = run(*arguments)
        answer[4, 1] = value
        return [answer]

    monkeypatch.setattr(scheme_network, "run_session", spoiled)
    found = SchemeOnnx(network=file).fit(Noddi(), signal, network.scheme)
    others = np.arange(10) != 4
    assert found.status[4] == Status.UNUSABLE
    assert np.isnan([found.maps[name][4] for name in ("ndi", "odi", "fwf")]).all()
    np.testing.assert_array_equal(found.status[others], sound.status[others])
    np.testing.assert_array_equal(found.maps["ndi"][others], sound.maps["ndi"][others])
