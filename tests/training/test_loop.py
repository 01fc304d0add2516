"""Training lowers the loss, resumes without a trace, and refuses checkpoints of something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bids_qmri.errors import UsageError  # noqa: E402
from bids_qmri.training.loop import Checkpointing, spent_on, train  # noqa: E402
from bids_qmri.training.schedules import Cosine  # noqa: E402


def fit_line(steps: int, total: int, checkpointing: Checkpointing | None = None) -> torch.nn.Module:
    """Fit a line by `steps` of `total` steps; step i sees data that follow from i."""
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 1)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = np.random.default_rng(step).standard_normal((32, 2)).astype(np.float32)
        return torch.from_numpy(x), torch.from_numpy(x @ np.array([[1.0], [-2.0]], np.float32) + 0.5)

    def loss(network: torch.nn.Module, data: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        return ((network(data[0]) - data[1]) ** 2).mean()

    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    rate = Cosine(batch=32, rate=0.1, threads=1, steps=total, warmup=5, decay=1e-4, clip=1.0).rate_at
    train(network, batch, loss, optimiser, rate, steps, clip=1.0, checkpointing=checkpointing)
    return network


def test_training_finds_the_minimum() -> None:
    network = fit_line(200, 200)
    np.testing.assert_allclose(network.weight.detach().numpy(), [[1.0, -2.0]], atol=1e-3)
    np.testing.assert_allclose(network.bias.detach().numpy(), [0.5], atol=1e-3)


def test_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    kept = Checkpointing(tmp_path / "line.npz", "line")
    fit_line(20, 60, kept)
    resumed, whole = fit_line(60, 60, kept), fit_line(60, 60)
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_resumed_training_counts_the_time_of_the_runs_before(tmp_path: Path) -> None:
    file = tmp_path / "line.npz"
    assert spent_on(file) == 0
    fit_line(3, 6, Checkpointing(file, "line", earlier=1000.0))
    first = spent_on(file)
    assert first > 1000
    fit_line(6, 6, Checkpointing(file, "line", spent_on(file)))
    assert spent_on(file) > first


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    kept = Checkpointing(tmp_path / "line.npz", "line")
    before = fit_line(30, 30, kept).weight
    content = kept.file.read_bytes()
    assert torch.equal(fit_line(30, 30, kept).weight, before)
    assert kept.file.read_bytes() == content


def test_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "line.npz"
    fit_line(3, 3, Checkpointing(file, "line seed 1"))
    with pytest.raises(UsageError, match="holds the training of line seed 1, not of line seed 2"):
        fit_line(3, 3, Checkpointing(file, "line seed 2"))


def test_checkpoint_is_arrays_without_code(tmp_path: Path) -> None:
    file = tmp_path / "line.npz"
    fit_line(3, 3, Checkpointing(file, "line"))
    with np.load(file, allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)
    assert [path.name for path in tmp_path.iterdir()] == ["line.npz"]


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    rate = Cosine(batch=32, rate=2e-3, threads=1, steps=110, warmup=10, decay=1e-4, clip=1.0).rate_at
    values = [rate(step) for step in range(110)]
    assert values[9] == max(values) == pytest.approx(2e-3)
    assert values[0] == pytest.approx(2e-4)
    assert values[60] == pytest.approx(1e-3)
    assert np.all(np.diff(values[10:]) < 0)
    assert values[-1] < 1e-6
