"""Threads: answers in order, few items in flight, and maps that do not depend on how many there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import synth
from multishell import two_shells
from test_base import ALL, OF_A_SCHEME, small_problem

from bids_qmri.catalogue import get_model
from bids_qmri.cli.run import main
from bids_qmri.estimation import blocks as blocks_module
from bids_qmri.estimation.blocks import fit_blocks, join
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import get_estimator
from bids_qmri.estimators.threads import in_threads
from bids_qmri.interfaces import voxels

THREADS = 3
APART = ("local", "dipyVarpro", *OF_A_SCHEME)
"""Of whole images, or slow, or with networks that do not come with the package."""


def test_answers_come_in_the_order_of_the_items() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number**2

    assert list(in_threads(work, range(20), THREADS)) == [number**2 for number in range(20)]


def test_few_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    for answered, _ in enumerate(in_threads(abs, items(), THREADS), start=1):
        assert len(taken) <= answered + THREADS


def test_the_first_fault_is_raised_whoever_comes_to_it_first() -> None:
    def work(number: int) -> int:
        if number == 3:
            time.sleep(0.05)
        if number >= 3:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match=r"^3$"):
        list(in_threads(work, range(20), THREADS))


def test_threads_know_what_is_done_about_division_by_zero() -> None:
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        list(in_threads(lambda number: np.float64(1) / np.float64(number), range(3), THREADS))


def test_they_end_when_nobody_asks_for_more() -> None:
    answers = in_threads(abs, range(100), THREADS)
    next(answers)
    answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("blocks")]


def _tiled(model: str) -> tuple[Any, Any]:
    """Return noisy signals of many voxels."""
    signal, protocol = small_problem(model)
    many = np.tile(signal, (30, 1))
    rng = np.random.default_rng(1)
    return np.abs(many + 0.02 * np.abs(signal).max() * rng.standard_normal(many.shape)), protocol


def _fitted(model: str, label: str, data: Any, protocol: Any, threads: int, **options: Any) -> Any:
    forward, estimator = get_model(model), get_estimator(model, label, **options)
    how = prepare(forward, estimator, Scan(protocol, mask=np.ones(len(data), dtype=bool)))
    parts = [(data[part], part) for part in np.array_split(np.arange(len(data)), 5)]
    noise = ScanNoise.told(0.02 * float(np.abs(data).max())) if forward.magnitude else None
    return join([block.fit for block in fit_blocks(forward, estimator, how, iter(parts), noise, threads)])


def _same(one: Any, other: Any) -> None:
    for name in ("maps", "sd", "determined"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.keys() == theirs.keys()
        for key, values in ours.items():
            np.testing.assert_array_equal(values, theirs[key], err_msg=key)
    np.testing.assert_array_equal(one.residual, other.residual)
    np.testing.assert_array_equal(one.status, other.status)
    assert one.notes == other.notes


@pytest.mark.parametrize(
    ("model", "label"), [pair for pair in ALL if pair[1] not in APART and pair != ("noddi", "ncde")]
)
def test_maps_do_not_depend_on_the_number_of_threads(model, label, tmp_path, monkeypatch):
    data, protocol = _tiled(model)
    options = {}
    if label in ("ncde", "mlp"):
        trained = {name: array.tolist() for name, array in protocol.values().items()}
        more = {"protocol": trained} if label == "mlp" else {}
        options["network"] = networks.ship(tmp_path, get_model(model), monkeypatch, **more)
    one, three = (_fitted(model, label, data, protocol, count, **options) for count in (1, THREADS))
    _same(one, three)


def test_nor_do_those_of_the_network_for_any_shells() -> None:
    rng, shells = np.random.default_rng(2), two_shells()
    data = 500 * np.exp(-rng.uniform(0.2, 1.2, (100, 1)) * shells.bvals / 1000)
    data = np.abs(data + rng.normal(0, 10, data.shape))
    _same(*(_fitted("noddi", "ncde", data, shells, count) for count in (1, THREADS)))


def _images(folder: Path, threads: int) -> dict[str, bytes]:
    bids = synth.new_dataset(folder / "bids")
    synth.add_noddi(bids, prefix="sub-01_acq-n")
    synth.add_ivim(bids, "sub-01_acq-i")
    synth.add_vfa(bids)
    command = [str(bids), str(folder / "out"), "participant", "-w", str(folder / "work"), "--nprocs", "1"]
    command += ["--omp-nthreads", str(threads), "--methods", "lsq", "mle", "map", "ncde", "local"]
    assert main([*command, "--models", "vfa", "ivim", "noddi", "dti"]) == 0
    return {path.name: path.read_bytes() for path in (folder / "out").rglob("*.nii.gz")}


def test_files_are_the_same_for_any_number_of_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(voxels, "BLOCK_VOXELS", 7)
    one, three = _images(tmp_path / "one", 1), _images(tmp_path / "three", THREADS)
    assert len(one) > 50
    assert one == three


def test_an_array_is_fitted_by_threads_as_an_image_is(monkeypatch) -> None:
    monkeypatch.setattr(blocks_module, "BLOCK_VOXELS", 16)
    data, protocol = _tiled("ivim")
    forward, estimator = get_model("ivim"), get_estimator("ivim", "lsq")
    how = prepare(forward, estimator, Scan(protocol, mask=np.ones(len(data), dtype=bool)))
    _same(*(blocks_module.fit_array(forward, estimator, how, data, None, "box", n) for n in (1, THREADS)))
