"""Kernels of arrays and numbers, called from Python: as object code, which does not need numba.

The kernels are functions for numba in modules ``..._kernel``, which nothing imports when fits run. A folder
of such modules has a module `entries`, which declares under their names those that Python calls.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.estimators.compiled import library

DTYPES = {"d": np.float64, "f": np.float32, "i": np.int64, "b": np.bool_}
"""Kinds of numbers by their letter."""

Kind = str | tuple["Kind", ...]
"""A letter is a number; with a count of dimensions behind it an array, which is written if `=` follows."""


@dataclass(frozen=True)
class Entry:
    """A kernel that Python calls. It must not raise, and what it returns is lost.

    Parameters
    ----------
    place
        ``module:function``.
    takes
        Kinds of its arguments; tuples are given as tuples.
    """

    place: str
    takes: tuple[Kind, ...]

    def __call__(self, *arguments: Any) -> None:
        """Call the kernel; arrays that are not as it wants them are copied, and copied back if written."""
        if len(arguments) != len(self.takes):
            raise TypeError(f"{self.place} takes {len(self.takes)} arguments, not {len(arguments)}")
        written: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
        wanted = [_as_wanted(*pair, written) for pair in zip(self.takes, arguments, strict=True)]
        code = library.kernel(self.place)
        if code is None:
            _compiled_here(self.place)(*wanted)
        else:
            given = np.array([number for value in wanted for number in _numbers(value)], dtype=np.int64)
            code(given.ctypes.data)
        for array, copied in written:
            array[...] = copied


def _as_wanted(kind: Kind, value: Any, written: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> Any:
    """Return an argument as a kernel takes it, and note arrays whose copy is written."""
    if isinstance(kind, tuple):
        return tuple(_as_wanted(*pair, written) for pair in zip(kind, value, strict=True))
    if len(kind) == 1:
        return float(value) if kind == "d" else int(value)
    if value.ndim != int(kind[1]):
        raise TypeError(f"an array of {kind[1]} dimensions is wanted, not of {value.ndim}")
    array: npt.NDArray[Any] = np.ascontiguousarray(value, dtype=DTYPES[kind[0]])
    if kind.endswith("="):
        if not value.flags.writeable:
            raise ValueError("an array that a kernel writes to is read-only")
        if array is not value:
            written.append((value, array))
    return array


def _numbers(value: Any) -> Iterator[int]:
    """Yield an argument as int64: address and shape of an array, the bits of a float."""
    if isinstance(value, tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, np.ndarray):
        yield value.ctypes.data
        yield from value.shape
    elif isinstance(value, float):
        yield struct.unpack("q", struct.pack("d", value))[0]
    else:
        yield value


@cache
def _compiled_here(place: str) -> Callable[..., None]:
    """Return a kernel that numba compiles in this process, where there is no object code."""
    function: Callable[..., None] = catalogue.load(place)
    return function
