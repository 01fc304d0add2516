"""Object code of kernels: where it is found, kept and made, and how it is loaded. Called by `call`.

Object code stands in the folder of the package, if it was made with the installation (container images), or
in the user's cache. It is named by a hash of all that it depends on, so that no other is taken for it, and
holds a hash of itself. It is made for a kind of processor, not for one: results are the same on all of these.
Where it is not found and cannot be kept, there is none, and fits do without (`classical.lm`, `entry`).
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from bids_qmri import catalogue

LOG = logging.getLogger(__name__)

WITH_PACKAGE = Path(__file__).parent / "objects"
"""Where ``build`` writes the object code of an installation."""

LEVEL3 = ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
"""What processors of x86-64-v3 can, which are nearly all since 2015."""

SHARED = ("grid.moments",)
"""Kernels of no technique: ``module.function`` of this package."""

POSTERIOR = "bids_qmri.estimators.posterior.entries"
"""Module of entries of no technique."""

FIRST_READY = 20
"""Version of LLVM from which llvmlite sets it up by itself."""

SYMBOL = "kernel"
DIGEST = 32

SECONDS = 600
"""Longest time that the making of one kernel may take."""

Kernel = Callable[[int], None]
"""Takes the address of the arguments (`layout`)."""


@dataclass(frozen=True)
class Target:
    """Kind of processor that object code is for, as LLVM names it."""

    triple: str
    processor: str
    features: str


@cache
def target() -> Target:
    """Return what this machine is."""
    import llvmlite.binding as llvm

    triple = llvm.get_process_triple()
    if not triple.startswith("x86_64"):
        return Target(triple, "generic", "")
    features = llvm.get_host_cpu_features()
    level3 = all(features.get(name, False) for name in LEVEL3)
    return Target(triple, "x86-64-v3" if level3 else "x86-64", "+avx2,+fma" if level3 else "+sse2")


@cache
def _sources() -> bytes:
    """Return a hash of all that kernels are made from."""
    import llvmlite

    here = Path(__file__).parent
    files = [
        *sorted(here.glob("*.py")),
        here.parent / "classical" / "lm.py",
        here.parents[1] / "physics" / "noise.py",
        here.parents[1] / "units.py",
        here.parents[1] / "compiled.py",
        here.parents[1] / "physics" / "elementary.py",
    ]
    sha = hashlib.sha256(f"{llvmlite.__version__} {target()}".encode())
    for file in files:
        sha.update(file.read_bytes())
    return sha.digest()


def key_of(name: str) -> str:
    """Return the hash of all that the object code of a kernel depends on."""
    sha = hashlib.sha256(_sources() + name.encode())
    found, sources = None, ["*.py"]
    if ":" in name:
        found = importlib.util.find_spec(name.partition(":")[0].rpartition(".")[0])
        sources = ["*_kernel.py", "entries.py"]
    elif name not in SHARED:
        technique, _ = catalogue.find_entry(name.partition(".")[0])
        found = importlib.util.find_spec(technique.package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        for pattern in sources:
            for file in sorted(Path(folder).glob(pattern)):
                sha.update(file.read_bytes())
    return sha.hexdigest()[:DIGEST]


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(':', '.')}-{key_of(name)}.o"


def user_folder() -> Path | None:
    """Return the user's own folder for object code, made if need be; None if there is none to be trusted.

    Code is run from there: it must be the user's, and nobody else may write to it.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        folder = Path(base) / "bids_qmri" / "kernels"
        if not folder.is_absolute():
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if _private(folder) and os.access(folder, os.W_OK) else None
    except (OSError, RuntimeError):
        return None


def _private(path: Path) -> bool:
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def keep(folder: Path, name: str, code: bytes) -> None:
    """Write object code into a folder, whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
        try:
            file.write(hashlib.sha256(code).digest() + code)
            file.close()
            if folder == WITH_PACKAGE:
                Path(file.name).chmod(0o644)
            Path(file.name).replace(_file(folder, name))
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def find(folder: Path, name: str) -> bytes | None:
    """Return the object code of a kernel in a folder, None if it has none that is whole."""
    path = _file(folder, name)
    try:
        if folder != WITH_PACKAGE and not _private(path):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:DIGEST], content[DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def make(name: str) -> bytes | None:
    """Return the object code of a kernel from a process that compiles it, None if that fails."""
    if importlib.util.find_spec("numba") is None:
        return None
    LOG.info("compiling %s, once on this machine", name)
    command = [sys.executable, "-m", "bids_qmri.estimators.compiled.build", "-", name]
    source = str(Path(__file__).parents[3])
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = dict(os.environ) | {"PYTHONPATH": path}
    try:
        done = subprocess.run(command, capture_output=True, check=True, env=environment, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        LOG.warning("%s could not be compiled (%s), and is fitted more slowly: %s", name, error, said[-2000:])
        return None
    said, code = done.stdout[:DIGEST], done.stdout[DIGEST:]
    # Sources that changed since they were read here make another kernel.
    return code if said == key_of(name).encode() else None


def _code(name: str) -> bytes | None:
    """Return the object code of a kernel, made now if it can be kept."""
    folder = user_folder()
    for place in (WITH_PACKAGE, folder):
        found = None if place is None else find(place, name)
        if found is not None:
            return found
    if folder is None:
        return None
    code = make(name)
    if code is not None:
        try:
            keep(folder, name, code)
        except OSError as error:
            LOG.warning("%s is not kept in %s: %s", name, folder, error)
    return code


_LOCK = Lock()
_LOADED: dict[str, Kernel | None] = {}
_ENGINES: list[Any] = []
"""They own the memory of the code."""


def kernel(name: str) -> Kernel | None:
    """Return a kernel, None if this machine has none; the same one for all threads."""
    with _LOCK:
        if name not in _LOADED:
            code = _code(name) if sys.platform == "linux" else None
            _LOADED[name] = None if code is None else _load(code)
        return _LOADED[name]


def _load(code: bytes) -> Kernel:
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _ENGINES.append(engine)
    address = engine.get_function_address(SYMBOL)
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(address)

    def run(given: int) -> None:
        # Where numba's functions put what they return, and what they raise: these do neither.
        scratch = (ctypes.c_int64 * 8)()
        status = function(ctypes.addressof(scratch), ctypes.addressof(scratch), given)
        if status:
            raise RuntimeError(f"a kernel ended with {status}")

    return run


def machine() -> Any:
    """Return what LLVM makes and loads object code with."""
    import llvmlite.binding as llvm

    if llvm.llvm_version_info[0] < FIRST_READY:
        getattr(llvm, "init" + "ialize")()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    aim = target()
    return llvm.Target.from_triple(aim.triple).create_target_machine(
        cpu=aim.processor, features=aim.features, opt=3, reloc="pic", codemodel="jitdefault", jit=True
    )


def names() -> list[str]:
    """Return the names of all kernels."""
    found = list(SHARED)
    for model in catalogue.model_names():
        declared = catalogue.module(model, "compiled")
        if declared is not None:
            found += [f"{model}.{what}" for what in declared.KERNELS]
    return [*found, *_entries()]


def _entries() -> list[str]:
    """Return the places of kernels that are called by an `entry`."""
    from bids_qmri.estimators.compiled.entry import Entry

    modules = [catalogue.module(model, "entries") for model in catalogue.model_names()]
    declared = [vars(module) for module in (import_module(POSTERIOR), *modules) if module is not None]
    # Models of one technique share them.
    places = [entry.place for each in declared for entry in each.values() if isinstance(entry, Entry)]
    return list(dict.fromkeys(places))
