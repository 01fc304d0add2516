"""Fine-tuning: what it is tried with, what it keeps, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from bids_qmri.catalogue import get_model  # noqa: E402
from bids_qmri.errors import InputError, UsageError  # noqa: E402
from bids_qmri.estimators.networks.network_file import weights_folder  # noqa: E402
from bids_qmri.physics.diffusion import DiffusionProtocol  # noqa: E402
from bids_qmri.physics.noise import VoxelNoise  # noqa: E402
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol  # noqa: E402
from bids_qmri.techniques.vfa.protocol import VfaProtocol  # noqa: E402
from bids_qmri.training import judge  # noqa: E402
from bids_qmri.training.finetune import TUNINGS, Epoch, Tuned, require_remembered, simulations, tune  # noqa: E402
from bids_qmri.training.folds import cross_validate, split  # noqa: E402
from bids_qmri.training.measured import (  # noqa: E402
    MeasuredScan,
    data_hash,
    draw_part,
    lengths_of,
    participant_hashes,
)
from bids_qmri.training.run import train  # noqa: E402
from bids_qmri.training.start import Start, load_start  # noqa: E402

from .small import changed_recipe  # noqa: E402

TINY = replace(
    TUNINGS["features"], epochs=2, batches=3, measured=60, simulated=10, parts=4, voxels=80, groups=6
)
TINY = replace(TINY, held_out=3)

B = DiffusionProtocol(np.array([0.0, 10, 25, 50, 100, 200, 300, 400, 500]))


def shipped(name: str) -> Start:
    return load_start(weights_folder() / f"ncde-{name}.onnx")


def scans_of(start: Start, count: int = 3) -> list[MeasuredScan]:
    """Return simulated scans that stand for measured ones, a participant each."""
    found = []
    for number in range(count):
        rng = np.random.default_rng([7, number])
        group = start.recipe.data.group(start.recipe.forward, start.recipe.protocol, rng)
        noise = group.noise.spread(len(group.signal))
        told = group.box, group.box, group.prior
        found.append(MeasuredScan(f"{number}", f"sub-{number}", group.signal, group.protocol, noise, *told))
    return found


@pytest.mark.parametrize("count", range(4, 10))
def test_parts_of_ivim_follow_table_2(count: int) -> None:
    """b = 0 always; a quarter each below 50 and in 50-99 as far as measured."""
    for seed in range(20):
        kept = draw_part(get_model("ivim"), B, count, 4, np.random.default_rng(seed))
        assert np.unique(kept).size == count
        assert B.bvals[kept[0]] == 0
        low = -(-(count - 1) // 2)
        few = -(-low // 2)
        assert np.sum((B.bvals[kept] > 0) & (B.bvals[kept] < 50)) >= min(few, 2)


def test_parts_of_flip_angles_are_the_nearest_to_those_of_table_2() -> None:
    whole = VfaProtocol(np.deg2rad([2.0, 4, 6, 8, 10, 12, 14, 16, 18, 20]), np.array(0.015))
    for seed in range(20):
        flips = np.rad2deg(
            whole.chosen(draw_part(get_model("vfa"), whole, 3, 2, np.random.default_rng(seed))).flip_angle
        )
        assert flips[0] == pytest.approx(2)
        assert flips[-1] >= 14


def test_stimulated_echoes_need_a_train_without_gaps() -> None:
    whole = SpinEchoProtocol(0.01 * np.arange(1, 17), np.asarray(2.8))
    kept = draw_part(get_model("epg"), whole, 6, 4, np.random.default_rng(0))
    assert kept.tolist() == list(range(6))


def test_parts_determine_the_model() -> None:
    assert list(lengths_of(get_model("ivim"), B, 2)) == list(range(4, 10))
    assert list(lengths_of(get_model("ivim"), B, 6)) == list(range(6, 10))


def test_participants_are_told_by_their_data_alone() -> None:
    scans = scans_of(shipped("vfa"))
    hashes = participant_hashes(scans)
    assert len(set(hashes.values())) == 3
    renamed = [replace(scan, participant=f"x{scan.participant}") for scan in scans]
    assert set(participant_hashes(renamed).values()) == set(hashes.values())
    assert data_hash(scans) == data_hash(scans[::-1]) != data_hash(scans[:2])


def test_folds_leave_every_participant_out_once() -> None:
    labels = [f"{i:02}" for i in range(12)]
    for count in (None, 2, 12):
        folds = split(labels, count, 0)
        assert sorted(label for fold in folds for label in fold) == labels
        assert len(folds) == (5 if count is None else count)
    assert [len(fold) for fold in split(labels[:3], None, 0)] == [1, 1, 1]
    for count in (1, 4):
        with pytest.raises(UsageError, match="2 to 3"):
            split(labels[:3], count, 0)


@pytest.mark.parametrize("name", ["dce", "epg", "irt1", "ivim", "megre", "mese", "vfa"])
def test_any_technique_is_tuned_and_forgets_nothing(name: str) -> None:
    start = shipped(name)
    before = [value.clone() for value in start.network.state_dict().values()]
    found = tune(start, scans_of(start), simulations(start.recipe, TINY), TINY, (0, 0))
    assert all(torch.equal(a, b) for a, b in zip(before, start.network.state_dict().values(), strict=True))
    assert found.kept.stop <= found.epochs[0].stop
    assert all(ratio <= 1.05 for ratio in found.simulated.values())
    assert found.epochs[0].simulated == dict.fromkeys(found.simulated, 1.0)


def test_tuning_lowers_the_loss_of_voxels_it_has_not_seen() -> None:
    start = shipped("ivim")
    # scans whose floor is twice what is told: something to learn
    scans = [replace(s, noise=VoxelNoise(0.5 * s.noise.floor, s.noise.scatter)) for s in scans_of(start, 2)]
    how = replace(TINY, epochs=6, batches=12)
    found = tune(start, scans, simulations(start.recipe, how), how, (0, 0))
    assert found.kept.number > 0
    assert found.kept.stop < found.epochs[0].stop


def test_scans_with_no_measurement_to_spare_teach_nothing() -> None:
    """All measurements being read, the loss would be least for least squares."""
    start = shipped("vfa")
    whole = VfaProtocol(np.deg2rad([3.0, 15.0]), np.array(0.01))
    noise = VoxelNoise.thermal(np.full(50, 1.0))
    scan = MeasuredScan("1", "sub-1", np.full((50, 2), [100.0, 80.0]), whole, noise)
    with pytest.raises(InputError, match=r"measurements to spare.*more than 2 different measurements"):
        tune(start, [scan], simulations(start.recipe, TINY), TINY, (0, 0))


def test_a_network_that_has_forgotten_is_refused() -> None:
    start = shipped("vfa")
    kept = Epoch(3, 1.0, 1.0, {"t1": 1.0})
    forgot = Tuned(start.network, kept, (kept,), {"loss": 1.0, "t1": 1.06}, simulations(start.recipe, TINY))
    with pytest.raises(InputError, match=r"t1.*1\.060.*at most 1\.05"):
        require_remembered(start, forgot)


def test_the_network_of_the_study_by_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchcde")
    monkeypatch.setattr(judge, "DRAWS", 1)
    small = {"data__count": 700, "data__validation": 60, "training__epochs": 1, "training__batches": 4}
    start = load_start(train(changed_recipe("kuppens2025-ivim", **small), tmp_path)[1])
    scans = [replace(scan, bounds=None, physical=None) for scan in scans_of(shipped("ivim"), 9)]
    scans = [scan for scan in scans if 5 <= scan.protocol.n_measurements <= 8][:3]
    scans = [replace(scan.take(np.arange(20)), participant=f"{i}") for i, scan in enumerate(scans)]
    how = replace(TUNINGS["signals"], epochs=1, batches=2, parts=2, voxels=20, groups=1, held_out=1)
    found = cross_validate(start, scans, replace(how, measured=12, simulated=2), tmp_path / "out")
    assert found.file.name == "kuppens2025-ivim-tuned-weights.npz"
    assert {one.quantity for one in found.summary} == {"d", "dstar", "f"}
    assert load_start(found.card).recipe.digest() == start.recipe.digest()
