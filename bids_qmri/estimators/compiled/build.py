"""Make the object code of kernels: ``python -m bids_qmri.estimators.compiled.build [FOLDER [NAME ...]]``.

Without arguments that of all kernels goes into the folder of the package, as container images have it; what
is there already stays.
`library` makes single ones (``- NAME`` writes to the standard output) in a process of its own, because numba
takes long to import, and compiles for one kind of processor in a process. A name is ``model.objective``,
``model.start`` or the place of an `entry`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from bids_qmri import catalogue
from bids_qmri.estimators.compiled.library import (
    SHARED,
    SYMBOL,
    WITH_PACKAGE,
    find,
    keep,
    key_of,
    machine,
    names,
    target,
)

CLOSED = ("LeastSquares",)
"""Objectives whose best amplitude has a closed form."""


def kernel_of(name: str) -> Any:
    """Return a kernel as a function of Python, by its name."""
    from bids_qmri.estimators.compiled.minimiser import make_minimiser
    from bids_qmri.estimators.compiled.misfits import MISFITS
    from bids_qmri.estimators.compiled.wrapper import wrapper_of

    model_name, _, what = name.partition(".")
    if name in SHARED:
        return catalogue.load(f"bids_qmri.estimators.compiled.{model_name}:{what}")
    if ":" in name:
        return wrapper_of(name)
    module = catalogue.module(model_name, "kernels")
    if module is None:
        raise LookupError(f"{model_name} has no kernels")
    if what == "start":
        return module.start
    model = catalogue.get_model(model_name)
    parameters = [p.name for p in model.parameters]
    amplitude = -1 if model.amplitude is None else parameters.index(model.amplitude)
    return make_minimiser(module.evaluate, len(parameters), amplitude, MISFITS[what], what in CLOSED)


def object_code(name: str) -> bytes:
    """Return the object code of a kernel, which holds one function and needs no other.

    Raises
    ------
    RuntimeError
        If it calls something that only numba has.
    """
    from numba import njit, types

    from bids_qmri.estimators.compiled.wrapper import LIBRARY, memory

    given = types.void(types.CPointer(types.int64))
    compiled = njit(given, error_model="numpy", nogil=True, no_cpython_wrapper=True)(kernel_of(name))
    result = next(iter(compiled.overloads.values()))
    module = llvm.parse_assembly(result.library.get_llvm_str())
    module.link_in(memory())
    function = module.get_function(result.fndesc.llvm_func_name)
    for other in module.functions:
        if not other.is_declaration and other.name != function.name:
            other.linkage = "internal"
    function.name = SYMBOL
    aim = machine()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(aim, options)
    # Once more, which drops what nothing calls.
    builder.getModulePassManager().run(module, builder)
    called = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    missing = sorted(set(called) - set(LIBRARY))
    if missing:
        raise RuntimeError(f"{name} calls {missing}, which only numba has")
    return bytes(aim.emit_object(module))


def main(arguments: list[str]) -> None:
    """Compile; numba reads the kind of processor from the environment when it is imported."""
    os.environ["NUMBA_CPU_NAME"] = target().processor
    os.environ["NUMBA_CPU_FEATURES"] = target().features
    place = arguments[0] if arguments else str(WITH_PACKAGE)
    for name in arguments[1:] or names():
        if place != "-" and find(Path(place), name) is not None:
            continue
        code = object_code(name)
        if place == "-":
            sys.stdout.buffer.write(key_of(name).encode() + code)
        else:
            Path(place).mkdir(parents=True, exist_ok=True)
            keep(Path(place), name, code)


if __name__ == "__main__":
    main(sys.argv[1:])
