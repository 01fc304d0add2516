"""Kernels of arrays and numbers: object code does what numba does in the process, and fits import none."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bids_qmri
from bids_qmri import catalogue
from bids_qmri.estimators.compiled import entry, library
from bids_qmri.estimators.compiled.entry import Entry
from bids_qmri.estimators.posterior.entries import add_moments, add_products, draw, spread_of
from bids_qmri.techniques.ivim.entries import write_curves
from bids_qmri.units import FloatArray

SOURCE = Path(bids_qmri.__file__).parents[1]
PLACES = [name for name in library.names() if ":" in name]
RNG = np.random.default_rng(31)

FIT = """
import sys, numpy as np
from pathlib import Path
from bids_qmri.estimators.compiled import library
if sys.argv[1] == 'with':
    # An installation that holds no object code.
    library.WITH_PACKAGE = Path('nowhere')
from bids_qmri.catalogue import get_model
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.testing import simulate
model = get_model('vfa')
protocol = model.protocol(np.deg2rad([2.0, 10.0, 20.0]), 0.005)
signal, _, sigma = simulate('vfa', protocol, voxels=5, snr=50)
found = Bayes().fit(model, signal, protocol, sigma=sigma)
assert np.all(np.isfinite(found.maps['t1']))
assert ('numba' in sys.modules) is (sys.argv[1] == 'with')
"""


def entry_of(place: str) -> Entry:
    module, _, name = place.partition(":")
    found: Entry = catalogue.load(f"{module.rpartition('.')[0]}.entries:{name}")
    return found


def drawn(points: FloatArray) -> FloatArray:
    dimensions, voxels, count = points.shape
    root = np.zeros((dimensions, dimensions, voxels))
    root[np.arange(dimensions), np.arange(dimensions)] = 0.1
    root[1, 0] = 0.05
    mean = np.random.default_rng(1).uniform(0.2, 0.8, (dimensions, voxels))
    uniform = np.random.default_rng(2).uniform(0.0, 1.0, (dimensions, count))
    draw(uniform, mean, root, 0.7, points)
    return points


@pytest.mark.parametrize("place", PLACES)
def test_entries_take_what_their_kernels_do(place: str) -> None:
    kernel: Any = catalogue.load(place)
    assert entry_of(place).place == place
    assert len(inspect.signature(kernel.py_func).parameters) == len(entry_of(place).takes)


def test_object_code_and_numba_in_the_process_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = drawn(np.empty((2, 700, 53)))
    monkeypatch.setattr(library, "kernel", lambda name: None)
    np.testing.assert_allclose(drawn(np.empty((2, 700, 53))), fast, rtol=1e-5)


def test_arrays_of_any_order_and_kind() -> None:
    bvals, theta = np.array([0, 100, 800]), RNG.uniform(0.0, 1e-2, (4, 30))
    expected = np.empty((3, 30), dtype=np.float32)
    write_curves(bvals.astype(float), theta, expected)
    b, exact = bvals[:, None], np.exp(-bvals[:, None] * theta[0])
    exact = exact + theta[2] * (np.exp(-b * theta[1]) - exact)
    np.testing.assert_allclose(expected, exact, rtol=1e-6)
    found = np.zeros((30, 6))
    write_curves(bvals, np.asfortranarray(theta), found[:, ::2].T)
    np.testing.assert_array_equal(found[:, ::2].T, expected)
    assert not found[:, 1::2].any()


def test_sums_are_added_to_what_stands_there() -> None:
    weight, found = RNG.uniform(size=(4, 9)), np.ones((4, 2))
    add_products(weight, weight, found[:, 0])
    np.testing.assert_allclose(found, np.stack([1.0 + (weight**2).sum(axis=1), np.ones(4)], axis=1))


def test_arrays_without_elements() -> None:
    found = np.ones((2, 0, 3))
    add_moments(np.empty((3, 5)), np.empty((0, 3, 5)), found)
    spread_of(np.empty((2, 0, 5)), np.empty((0, 5)), np.empty((2, 0)), np.empty((0, 2, 2)))


def test_what_does_not_fit_is_refused() -> None:
    weight, fixed = np.ones((2, 3)), np.ones(2)
    fixed.flags.writeable = False
    with pytest.raises(TypeError, match="2 dimensions"):
        add_products(weight[0], weight, np.ones(2))
    with pytest.raises(TypeError, match="takes 3 arguments"):
        add_products(weight, weight)
    with pytest.raises(ValueError, match="read-only"):
        add_products(weight, weight, fixed)


@pytest.mark.skipif(sys.platform != "linux", reason="object code is used on Linux")
@pytest.mark.parametrize("numba", ["with", "without"])
def test_numba_is_imported_only_where_code_cannot_be_kept(numba: str, tmp_path: Path) -> None:
    environment = dict(os.environ) | {"PYTHONPATH": str(SOURCE)}
    if numba == "with":
        # Nobody's home, on a file system that nothing can be written to.
        (tmp_path / "file").touch()
        environment["XDG_CACHE_HOME"] = environment["HOME"] = str(tmp_path / "file")
    subprocess.run([sys.executable, "-c", FIT, numba], check=True, env=environment)


def test_edited_kernels_have_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    place, real = write_curves.place, Path.read_bytes
    keys = {library.key_of(place)}
    for changed in ("curves_kernel.py", "entries.py", "elementary.py", "wrapper.py", "model.py"):
        altered = lambda path, changed=changed: real(path) + (b"#" if path.name == changed else b"")  # noqa: E731
        monkeypatch.setattr(Path, "read_bytes", altered)
        library._sources.cache_clear()
        keys.add(library.key_of(place))
    monkeypatch.undo()
    library._sources.cache_clear()
    # The model is no source of the kernel.
    assert len(keys) == 5


def test_memory_of_kernels_is_given_back() -> None:
    resource = pytest.importorskip("resource")
    points = np.empty((2, 10, 53))
    drawn(points)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3000):
        drawn(points)
    # One call makes 30 kB of arrays.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_every_entry_is_named_once() -> None:
    assert len(PLACES) == len(set(PLACES)) == 15
    assert entry._compiled_here(write_curves.place) is catalogue.load(write_curves.place)
