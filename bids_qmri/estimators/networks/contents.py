"""What stands in an ONNX file, read before any library runs it: operators, where weights lie, metadata.

A network is a program that somebody else wrote. Loading it computes already (constants are folded), so what
it may be made of is checked first. The file is a protocol buffer, of which the few messages that matter are
walked here; the package that reads all of them is not needed to use a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Entry = tuple[int, int, memoryview]
"""Number of a field, its wire type, and its content: bytes, or a whole number of little endian."""

MOST_NODES = 100_000
DEEPEST = 8
"""Levels of graphs within graphs."""


@dataclass
class Contents:
    """What a file is made of.

    Parameters
    ----------
    operators
        Domain and name of all operators.
    outside
        Whether weights lie in another file.
    functions
        Whether it defines operators of its own.
    metadata
        Its metadata.
    nodes
        Number of operators, repeated ones included.
    """

    operators: set[tuple[str, str]] = field(default_factory=set)
    outside: bool = False
    functions: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    nodes: int = 0


def read_contents(content: bytes) -> Contents:
    """Return what an ONNX file is made of.

    Raises
    ------
    ValueError
        It is no protocol buffer, or larger or deeper than any network.
    """
    found = Contents()
    graphs = 0
    for number, wire, part in _entries(memoryview(content)):
        if number == 7 and wire == 2:
            _graph(part, found, 0)
            graphs += 1
        elif number == 14 and wire == 2:
            pair = {key: bytes(text) for key, kind, text in _entries(part) if kind == 2}
            found.metadata[_text(pair.get(1, b""))] = _text(pair.get(2, b""))
        elif number in (20, 25):  # training, functions
            found.functions = True
    if not graphs:
        raise ValueError("it holds no graph")
    return found


def _graph(graph: memoryview, found: Contents, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"graphs lie more than {DEEPEST} levels deep within each other")
    for number, wire, part in _entries(graph):
        if wire != 2:
            continue
        if number == 1:
            _node(part, found, depth)
        elif number == 5:
            _tensor(part, found)
        elif number == 15:
            _sparse(part, found)


def _node(node: memoryview, found: Contents, depth: int) -> None:
    found.nodes += 1
    if found.nodes > MOST_NODES:
        raise ValueError(f"it has more than {MOST_NODES} operators")
    name = domain = ""
    for number, wire, part in _entries(node):
        if wire != 2:
            continue
        if number == 4:
            name = _text(part)
        elif number == 7:
            domain = _text(part)
        elif number == 5:
            _attribute(part, found, depth)
    found.operators.add((domain, name))


def _attribute(attribute: memoryview, found: Contents, depth: int) -> None:
    for number, wire, part in _entries(attribute):
        if wire != 2:
            continue
        if number in (5, 10):  # a tensor, tensors
            _tensor(part, found)
        elif number in (6, 11):  # a graph, graphs
            _graph(part, found, depth + 1)
        elif number in (22, 23):
            _sparse(part, found)


def _sparse(tensor: memoryview, found: Contents) -> None:
    for number, wire, part in _entries(tensor):
        if number in (1, 2) and wire == 2:
            _tensor(part, found)


def _tensor(tensor: memoryview, found: Contents) -> None:
    for number, wire, part in _entries(tensor):
        # Where the data lie, and the entries that say in which file.
        if number == 13 or (number == 14 and wire == 0 and part.tobytes() != b"\0"):
            found.outside = True


def _entries(message: memoryview) -> Iterator[Entry]:
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield number, wire, memoryview(value.to_bytes(10, "little").rstrip(b"\0") or b"\0")
            continue
        if wire not in (1, 2, 5) or not number:
            raise ValueError(f"byte {place} is no field of a protocol buffer")
        size, place = _varint(message, place) if wire == 2 else ({1: 8, 5: 4}[wire], place)
        if size > end - place:
            raise ValueError("it is cut short")
        yield number, wire, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("it is cut short")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number has more than 10 bytes")


def _text(part: memoryview | bytes) -> str:
    return bytes(part).decode("utf-8", "replace")
