"""Object code: never stale, never another's, and never in the way where it cannot be kept."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import VFA_PROTOCOL, draw

import bids_qmri
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.compiled import library
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.units import FloatArray

NAME = "vfa.start"
SOURCE = Path(bids_qmri.__file__).parents[1]


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the cache of a machine without object code, in a process that has loaded none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "WITH_PACKAGE", tmp_path / "objects")
    monkeypatch.setattr(library, "_LOADED", {})
    return tmp_path / "cache" / "bids_qmri" / "kernels"


def t1(_: Any = None) -> FloatArray:
    signal = VFA.signal(draw(VFA, 100), VFA_PROTOCOL)
    return Lsq().fit(VFA, signal.T, VFA_PROTOCOL).maps["t1"]


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    library.keep(tmp_path, NAME, b"code")
    assert library.find(tmp_path, NAME) == b"code"
    assert library.find(tmp_path, "vfa.LeastSquares") is None
    assert [p.suffix for p in tmp_path.iterdir()] == [".o"]


def test_damaged_files_are_not_used(tmp_path: Path) -> None:
    library.keep(tmp_path, NAME, b"code" * 100)
    (file,) = tmp_path.iterdir()
    for content in (b"", file.read_bytes()[:-1], b"x" + file.read_bytes()[1:]):
        file.write_bytes(content)
        assert library.find(tmp_path, NAME) is None


def test_files_that_others_may_write_are_not_used(tmp_path: Path) -> None:
    library.keep(tmp_path, NAME, b"code")
    (file,) = tmp_path.iterdir()
    file.chmod(0o666)
    assert library.find(tmp_path, NAME) is None


def test_changed_sources_and_machines_have_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {library.key_of(NAME), library.key_of("vfa.LeastSquares"), library.key_of("ivim.start")}
    monkeypatch.setattr(library, "_sources", lambda: b"changed")
    keys.add(library.key_of(NAME))
    monkeypatch.undo()
    library._sources.cache_clear()
    monkeypatch.setattr(library, "target", lambda: library.Target("x86_64-unknown-linux-gnu", "other", ""))
    keys.add(library.key_of(NAME))
    library._sources.cache_clear()
    real = Path.read_bytes
    for changed in ("model.py", "lanes.py", "lm.py"):
        altered = lambda path, changed=changed: real(path) + (b"#" if path.name == changed else b"")  # noqa: E731
        with monkeypatch.context() as patch:
            patch.undo()
            patch.setattr(Path, "read_bytes", altered)
            library._sources.cache_clear()
            keys.add(library.key_of(NAME))
    library._sources.cache_clear()
    assert len(keys) == 8


@pytest.mark.parametrize("kind", ["nobody", "relative", "file", "shared"])
def test_folders_that_are_no_place_for_code(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if kind == "nobody":
        # An arbitrary uid in a container, without HOME.
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    elif kind == "relative":
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    elif kind == "file":
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        (tmp_path / "bids_qmri" / "kernels").mkdir(parents=True)
        (tmp_path / "bids_qmri" / "kernels").chmod(0o777)
    assert library.user_folder() is None
    if kind == "relative":
        assert not list(tmp_path.iterdir())


def test_without_a_place_nothing_is_compiled_and_fits_do_without(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = t1()
    monkeypatch.setattr(library, "_LOADED", {})
    monkeypatch.setattr(library, "user_folder", lambda: None)
    monkeypatch.setattr(library, "make", lambda name: pytest.fail("compiled for nothing"))
    np.testing.assert_allclose(t1(), expected, rtol=1e-6)
    assert set(library._LOADED.values()) == {None}


def test_code_of_the_installation_comes_first(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "user_folder", lambda: None)
    library.WITH_PACKAGE.mkdir()
    library.keep(library.WITH_PACKAGE, NAME, b"code")
    # A read-only tree that belongs to root, who runs none of this.
    assert (library.WITH_PACKAGE.iterdir().__next__().stat().st_mode & 0o777) == 0o644
    assert library._code(NAME) == b"code"


def test_what_cannot_be_compiled_costs_speed_alone(
    empty: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert np.all(np.isfinite(t1()))
    assert "could not be compiled" in caplog.text


def test_folder_is_made_ahead_by_one_command(empty: Path) -> None:
    folder = empty.parents[2] / "made"
    command = [sys.executable, "-m", "bids_qmri.estimators.compiled.build", str(folder), NAME]
    subprocess.run(
        command, check=True, env=dict(os.environ) | {"PYTHONPATH": str(SOURCE)}, cwd=empty.parents[2]
    )
    code = library.find(folder, NAME)
    assert code is not None
    # The same as the one that a fit makes, on every machine of this kind.
    assert library.make(NAME) == code


def test_fits_do_not_import_numba() -> None:
    script = (
        "import sys, numpy as np\n"
        "from bids_qmri.catalogue import get_model\n"
        "from bids_qmri.estimators.classical.lsq import Lsq\n"
        "from bids_qmri.estimators.compiled import library\n"
        "model = get_model('vfa')\n"
        "protocol = model.protocol(np.deg2rad([2.0, 10.0, 20.0]), 0.005)\n"
        "Lsq().fit(model, np.ones((9, 3)), protocol)\n"
        "assert library._LOADED['vfa.LeastSquares'] is not None\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, env=dict(os.environ) | {"PYTHONPATH": str(SOURCE)}
    )


def test_forked_processes_use_what_was_loaded() -> None:
    here = t1()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for there in pool.map(t1, range(4)):
            np.testing.assert_array_equal(there, here)


def test_every_declared_kernel_is_named_once() -> None:
    names = library.names()
    assert len(names) == len(set(names))
    assert {"ivim.LeastSquares", "etofts.start", "grid.moments"} <= set(names)


@pytest.mark.skipif(sys.platform != "linux", reason="object code is used on Linux")
def test_the_kind_of_processor_is_not_that_of_one_machine() -> None:
    assert library.target().processor in ("x86-64-v3", "x86-64", "generic")
