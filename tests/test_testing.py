"""What others may import for their tests: simulated voxels and phantoms of known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_qmri import DiffusionProtocol, InputError, VfaProtocol, get_model
from bids_qmri.testing import simulate, write_phantoms

BVALS = np.array([0.0, 10, 20, 50, 100, 200, 400, 800])
PROTOCOL = DiffusionProtocol(BVALS)


def test_noise_is_rician_and_of_the_level_that_is_said() -> None:
    clean, truth, none = simulate("ivim", PROTOCOL, voxels=4000, snr=np.inf)
    noisy, again, sigma = simulate("ivim", PROTOCOL, voxels=4000, snr=30)
    assert none == 0.0
    np.testing.assert_array_equal(truth["d"], again["d"])
    assert clean.mean(axis=0).max() / sigma == pytest.approx(30)
    # The second moment of a magnitude exceeds that of its signal by twice the variance, whatever the signal.
    assert np.mean(noisy**2 - clean**2) == pytest.approx(2 * sigma**2, rel=0.1)


def test_truth_is_within_the_range_in_which_accuracy_is_reported() -> None:
    _, truth, _ = simulate("ivim", PROTOCOL, voxels=500, snr=50)
    for parameter in get_model("ivim").parameters:
        low, high = parameter.training
        assert low <= truth[parameter.name].min() <= truth[parameter.name].max() <= high


def test_seeds_give_the_same_and_others_something_else() -> None:
    first, second, third = (simulate("ivim", PROTOCOL, voxels=5, snr=50, seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.any(first == third)


@pytest.mark.parametrize(
    ("model", "protocol", "voxels", "snr", "seen"),
    [
        ("vfa", PROTOCOL, 5, 50.0, "protocol: is a DiffusionProtocol; needed: a VfaProtocol for vfa"),
        ("ivim", VfaProtocol([0.1, 0.3], 0.005), 5, 50.0, "is a VfaProtocol; needed: a DiffusionProtocol"),
        ("ivim", DiffusionProtocol([0.0, 800]), 5, 50.0, "protocol: 2 distinct b-values"),
        ("ivim", PROTOCOL, 0, 50.0, "0 voxels"),
        ("ivim", PROTOCOL, 5, -1.0, "ratio of -1"),
    ],
)
def test_what_cannot_be_simulated_is_named(model, protocol, voxels, snr, seen) -> None:
    with pytest.raises(InputError, match=seen):
        simulate(model, protocol, voxels=voxels, snr=snr)


def test_phantoms_are_a_dataset_and_depend_on_the_seed_alone(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        write_phantoms(tmp_path / name, seed=seed)
    files = {str(p.relative_to(tmp_path / "one")) for p in (tmp_path / "one").rglob("*.nii.gz")}
    assert {
        "sub-brain01/fmap/sub-brain01_TB1map.nii.gz",
        "sub-abdomen01/perf/sub-abdomen01_dce.nii.gz",
    } <= files
    for name in files:
        one, same = ((tmp_path / folder / name).read_bytes() for folder in ("one", "same"))
        assert one == same
    [image] = (tmp_path / "one").rglob("sub-brain01_dwi.nii.gz")
    assert image.read_bytes() != (tmp_path / "other" / image.relative_to(tmp_path / "one")).read_bytes()
