"""What object code of an `entry` consists of beside its kernel: arguments and memory. Used by `build`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from bids_qmri import catalogue
from bids_qmri.estimators.compiled.entry import DTYPES, Entry, Kind
from bids_qmri.physics.elementary import double_of

HEADER = 64
"""Bytes before the numbers of an array: numba counts its owners in the first eight, and finds the address of
the numbers in the fourth eight."""

ALIGNED = 64
"""Bytes that the numbers of an array are aligned to, at least as many as numba asks for."""

LIBRARY = ("malloc", "free", "memset", "memcpy", "memmove", "log", "sqrt")
"""What object code may call: functions of the C library, which every process has."""

WORD, BYTES = ir.IntType(64), ir.IntType(8).as_pointer()


@intrinsic  # type: ignore[untyped-decorator]
def _address(typing_context: Any, number: Any) -> Any:
    """Return a number as an address."""
    return types.voidptr(types.int64), lambda _, builder, __, given: builder.inttoptr(given[0], BYTES)


def wrapper_of(place: str) -> Any:
    """Return a function of the address of a list of int64 (`entry`) that calls a kernel."""
    module, _, name = place.partition(":")
    entry: Entry = catalogue.load(f"{module.rpartition('.')[0]}.entries:{name}")
    places = iter(range(1000))
    arguments = ", ".join(_argument(kind, places) for kind in entry.takes)
    space: dict[str, Any] = {
        "function": catalogue.load(place),
        "carray": carray,
        "address": _address,
        "double_of": double_of,
        **{f"dtype_{letter}": dtype for letter, dtype in DTYPES.items()},
    }
    # numba reads how many arguments there are from the call.
    exec(f"def run(given):\n    function({arguments})\n", space)
    return space["run"]


def _argument(kind: Kind, places: Iterator[int]) -> str:
    """Return the expression of an argument, which takes what it needs of the list."""
    if isinstance(kind, tuple):
        return f"({', '.join(_argument(part, places) for part in kind)},)"
    first = f"given[{next(places)}]"
    if kind == "d":
        return f"double_of({first})"
    if kind == "i":
        return first
    shape = "".join(f"given[{next(places)}], " for _ in range(int(kind[1])))
    return f"carray(address({first}), ({shape}), dtype_{kind[0]})"


def memory() -> Any:
    """Return a module with what numba calls for the memory of arrays that a kernel makes."""
    module = ir.Module()
    malloc = ir.Function(module, ir.FunctionType(BYTES, [WORD]), "malloc")
    free = ir.Function(module, ir.FunctionType(ir.VoidType(), [BYTES]), "free")
    for name in ("NRT_MemInfo_call_dtor", "NRT_Free"):
        function, builder = _begin(module, name, ir.VoidType(), [BYTES])
        builder.call(free, function.args)
        builder.ret_void()
    function, builder = _begin(module, "NRT_Allocate", BYTES, [WORD])
    builder.ret(builder.call(malloc, function.args))
    function, builder = _begin(module, "NRT_MemInfo_alloc_aligned", BYTES, [WORD, ir.IntType(32)])
    size = builder.add(function.args[0], ir.Constant(WORD, HEADER + ALIGNED))
    header = builder.call(malloc, [size])
    with builder.if_then(builder.icmp_unsigned("!=", header, ir.Constant(BYTES, None))):
        behind = builder.add(builder.ptrtoint(header, WORD), ir.Constant(WORD, HEADER + ALIGNED - 1))
        words = builder.bitcast(header, WORD.as_pointer())
        builder.store(ir.Constant(WORD, 1), words)
        fourth = builder.gep(words, [ir.Constant(WORD, 3)])
        builder.store(builder.and_(behind, ir.Constant(WORD, -ALIGNED)), fourth)
    builder.ret(header)
    return llvm.parse_assembly(str(module))


def _begin(module: Any, name: str, result: Any, given: list[Any]) -> tuple[Any, Any]:
    function = ir.Function(module, ir.FunctionType(result, given), name)
    return function, ir.IRBuilder(function.append_basic_block())
