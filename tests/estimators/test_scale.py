"""The unit of the signal is the scanner's: maps and status do not depend on it, with any estimator."""

import networks
import nibabel as nib
import numpy as np
import pytest
import synth
from test_base import ALL, OF_A_SCHEME, small_problem

from bids_qmri.catalogue import get_model
from bids_qmri.cli.run import main
from bids_qmri.estimators.base import get_estimator
from bids_qmri.outputs.tables import output_table

SERVED = [
    pair
    for pair in ALL
    if pair[1] not in ("local", *OF_A_SCHEME) and pair != ("noddi", "ncde") and get_model(pair[0]).magnitude
]
"""Networks of schemes divide by b = 0 and have tests of their own; concentrations have a unit, mmol/L."""

AMPLITUDES = ("s0", "m0", "pd")
"""Maps in the unit of the signal; relative parameters are not."""


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20])
@pytest.mark.parametrize(("model", "label"), SERVED)
def test_the_unit_of_the_signal_scales_amplitudes_alone(model, label, factor, tmp_path, monkeypatch):
    signal, protocol = small_problem(model)
    options = {}
    if label in ("ncde", "mlp"):
        trained = {name: array.tolist() for name, array in protocol.values().items()}
        more = {"protocol": trained} if label == "mlp" else {}
        options["network"] = networks.ship(tmp_path, get_model(model), monkeypatch, **more)
    estimator, sigma = get_estimator(model, label, **options), 0.01 * signal.max()
    one = estimator.fit(get_model(model), signal, protocol, sigma=sigma)
    other = estimator.fit(get_model(model), signal * factor, protocol, sigma=sigma * factor)
    np.testing.assert_array_equal(one.status, other.status)
    for name, values in one.maps.items():
        known = one.determined.get(name, np.ones(values.shape, dtype=bool))
        expected = values * factor if name in AMPLITUDES else values
        np.testing.assert_allclose(other.maps[name][known], expected[known], rtol=1e-5, err_msg=name)
    of_images = output_table(model).rmse.unit == "arbitrary"
    expected = one.residual * factor if of_images else one.residual
    np.testing.assert_allclose(other.residual, expected, rtol=1e-4, atol=0 if of_images else 1e-9)


@pytest.mark.parametrize(
    ("model", "label"), [pair for pair in SERVED if not pair[1].startswith(("ncde", "mlp"))]
)
def test_noise_that_is_found_has_the_unit_of_the_signal(model, label):
    signal, protocol = small_problem(model)
    estimator = get_estimator(model, label)
    one = estimator.fit(get_model(model), signal, protocol)
    other = estimator.fit(get_model(model), signal * 2.0**-20, protocol)
    np.testing.assert_array_equal(one.status, other.status)
    for name, values in one.maps.items():
        known = one.determined.get(name, np.ones(values.shape, dtype=bool))
        expected = values * 2.0**-20 if name in AMPLITUDES else values
        np.testing.assert_allclose(other.maps[name][known], expected[known], rtol=1e-5, err_msg=name)


def maps_of(folder, unit):
    bids = synth.new_dataset(folder / "bids")
    synth.add_noddi(bids, prefix="sub-01_acq-n")
    synth.add_ivim(bids, "sub-01_acq-i")
    rng = np.random.default_rng(0)
    for path in sorted(bids.rglob("*.nii.gz")):
        data = np.asarray(nib.load(path).dataobj)
        synth.write_image(path, (data + rng.normal(0, 5, data.shape)).astype(np.float32) * np.float32(unit))
    arguments = [str(bids), str(folder / "out"), "participant", "-w", str(folder / "work"), "--nprocs", "1"]
    assert main([*arguments, "--models", "dti", "dki", "noddi", "ivim", "--methods", "lsq", "mle"]) == 0
    images = (folder / "out").rglob("*.nii.gz")
    return {path.name: np.asarray(nib.load(path).dataobj, dtype=np.float64) for path in images}


def test_files_in_any_unit_give_the_same_maps(tmp_path):
    one, other = maps_of(tmp_path / "one", 1.0), maps_of(tmp_path / "other", 2.0**20)
    assert other.keys() == one.keys()
    assert len(one) > 50
    for name, values in one.items():
        in_units = any(word in name for word in ("param-s0", "param-rmse", "param-sigma"))
        np.testing.assert_allclose(
            other[name], values * (2.0**20 if in_units else 1.0), rtol=2e-5, err_msg=name
        )
