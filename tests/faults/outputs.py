"""Faults of the output folder: records, leases, and what stands where results go."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from faults.kinds import FAILED, OK, Case, Fault, Spoil, sparse, write_json

from bids_qmri.completion.lease import lease_path
from bids_qmri.completion.record import completion_path
from bids_qmri.owner import Owner, this_process

BUSY = 75
RECORD, LEASE = r"completion\.json", r"sub-01\.json"
READ_AGAIN = (RECORD, "cannot be read", "fitted again")
IN_WORK = (LEASE, "sub-01 is in work by another run", "fix: wait")


def _record(make: Callable[[Path], object]) -> Spoil:
    """Put something where the completion record of the participant goes."""

    def spoil(case: Case) -> None:
        path = completion_path(case.out, "01")
        path.parent.mkdir(parents=True)
        make(path)

    return spoil


def _lease(owner: Callable[[], Owner], age: float = 0.0) -> Spoil:
    """Let another run hold the participant, whose last sign of life is some seconds old."""

    def spoil(case: Case) -> None:
        path = lease_path(case.out, "01")
        write_json(
            path, {"Run": "other", "Owner": owner().token, "Host": "there", "Pid": 4711, "Since": "noon"}
        )
        now = path.stat().st_mtime
        os.utime(path, (now - age, now - age))

    return spoil


def _unreadable_lease(case: Case) -> None:
    path = lease_path(case.out, "01")
    path.parent.mkdir(parents=True)
    path.write_text("{")


def _in_place_of(*parts: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(case: Case) -> None:
        path = case.out.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)

    return spoil


def _elsewhere() -> Owner:
    return Owner("00000000", 1, 1)


def _text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def _fields(**changes: object) -> Callable[[Path], object]:
    """Write a record of which something is odd."""
    whole = {"Format": 1, "End": "ok", "Messages": [], "Software": "", "Inputs": {}}
    whole |= {"Requests": {}, "Fits": {}, "Outputs": {}}
    return lambda path: path.write_text(json.dumps({**whole, **changes}))


def _again(kind: str, make: Callable[[Path], object]) -> Fault:
    """Return a fault of a record, which costs nothing but the time to fit again."""
    return Fault(f"record: {kind}", _record(make), READ_AGAIN, OK, own=True)


ROWS = [
    _again("empty", _text("")),
    _again("cut short", _text('{"Format": 1, "End": "o')),
    _again("a list", _text("[]")),
    _again("of another version", _fields(Format=99)),
    _again("end of another version", _fields(End="splendid")),
    _again("without fits", _text('{"Format": 1, "End": "ok"}')),
    _again("fits are a list", _fields(Fits=["sub-01 vfa lsq"])),
    _again("a fit is a number", _fields(Fits={"sub-01 vfa lsq": 3})),
    _again("inputs are a text", _fields(Inputs="anat")),
    _again("not UTF-8", lambda path: path.write_bytes(b"\xff\xfe{")),
    _again("nested without end", _text("[" * 100_000)),
    _again("number of 5000 digits", _text('{"Format": ' + "1" * 5000 + "}")),
    _again("of gigabytes", sparse(2**31)),
    _again("named pipe", os.mkfifo),
    Fault("lease: of a living run", _lease(this_process), IN_WORK, BUSY),
    Fault("lease: of another machine, renewed just now", _lease(_elsewhere), IN_WORK, BUSY),
    Fault("lease: not yet written", _unreadable_lease, IN_WORK, BUSY),
    Fault(
        "output: folder of the participant is a file",
        _in_place_of("sub-01", make=_text("")),
        ("sub-01", "is no folder", "fix: move it away"),
    ),
    Fault(
        "output: page of the participant is a folder",
        _in_place_of("sub-01.html", make=Path.mkdir),
        ("the page", r"sub-01\.html", "irectory"),
        own=True,
    ),
    Fault(
        "output: folder of leases is a file",
        _in_place_of(".bids_qmri", make=_text("")),
        (r"\.bids_qmri", "fix: "),
        FAILED,
        others=False,
    ),
]
