"""Faults of sidecars: what stands where they should be, their text, and the values of their keys."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import synth
from faults.kinds import DCE, DWI, FLIP, OK, Case, Fault, Spoil, content, forbidden, instead, keys, sparse

NAME = f"{FLIP}.json"
FILE = r"sub-01_flip-1_VFA\.json"


def _all(**changes: Any) -> Spoil:
    def spoil(case: Case) -> None:
        for path in case.folder.glob("anat/*_VFA.json"):
            synth.edit_json(path, **changes)

    return spoil


def _value(key: str, text: str) -> Spoil:
    """Write a value as no library would."""
    rest = '"FlipAngle": 3, "RepetitionTimeExcitation": 0.015'
    kept = ", ".join(part for part in rest.split(", ") if f'"{key}"' not in part)
    return content(NAME, f'{{"{key}": {text}, {kept}}}')


def _inherited(case: Case) -> None:
    """Put a damaged sidecar at the level above, which applies to all images of the participant."""
    (case.folder / "sub-01_VFA.json").write_text("{")


ROWS = [
    Fault(
        "sidecar: missing", lambda case: (case.folder / NAME).unlink(), ("sub-01_flip-1_VFA", "is missing")
    ),
    Fault("sidecar: empty", content(NAME, ""), (FILE, "is empty at line 1")),
    Fault("sidecar: cut short", content(NAME, '{"FlipAngle": 3'), (FILE, "line 1, column")),
    Fault("sidecar: a comma too many", content(NAME, '{"FlipAngle": 3,}'), (FILE, "line 1, column")),
    Fault("sidecar: a list", content(NAME, "[1]"), (FILE, "holds a list")),
    Fault("sidecar: a number", content(NAME, "3"), (FILE, "holds a int")),
    Fault(
        "sidecar: Latin-1", content(NAME, '{"A": "\xe4"}'.encode("latin-1")), (FILE, "byte 7 is not UTF-8")
    ),
    Fault("sidecar: UTF-16", content(NAME, '{"A": 1}'.encode("utf-16")), (FILE, "byte 0 is not UTF-8")),
    Fault("sidecar: bytes", content(NAME, bytes(range(256))), (FILE, "fix: correct the file")),
    Fault("sidecar: NaN", _value("FlipAngle", "NaN"), (FILE, "holds NaN")),
    Fault("sidecar: Infinity", _value("FlipAngle", "-Infinity"), (FILE, "holds -Infinity")),
    Fault(
        "sidecar: a number beyond all",
        _value("FlipAngle", "1e999"),
        (FILE, "holds 1e999, which is more than any number"),
    ),
    Fault(
        "sidecar: an integer of 5,000 digits",
        _value("Key", "9" * 5000),
        (FILE, "a whole number of 5000 digits"),
    ),
    Fault(
        "sidecar: an angle of 25 digits",
        _value("FlipAngle", "9" * 25),
        (FILE, "FlipAngle: is 1e[+]25|FlipAngle: is"),
    ),
    Fault("sidecar: a key twice", content(NAME, '{"A": 1, "A": 2}'), (FILE, "has the key 'A' twice")),
    Fault(
        "sidecar: nested 100,000 deep",
        content(NAME, '{"A":' + "[" * 100_000 + "]" * 100_000 + "}"),
        (FILE, "nested too deeply"),
    ),
    Fault(
        "sidecar: nested 100 deep",
        content(NAME, '{"A":' + "[" * 100 + "]" * 100 + "}"),
        (FILE, "nested too deeply"),
    ),
    Fault("sidecar: half a character", content(NAME, '{"A": "\\ud800"}'), (FILE, "half a character")),
    Fault("sidecar: control codes", content(NAME, '{"A": "\x1b[2J"}'), (FILE, "line 1, column")),
    Fault(
        "sidecar: a gigabyte", instead(NAME, sparse(2**30)), (FILE, "has 1,024 MB; needed: .*at most 32 MB")
    ),
    Fault("sidecar: folder", instead(NAME, Path.mkdir), (FILE, "is a folder")),
    Fault("sidecar: named pipe", instead(NAME, os.mkfifo), (FILE, "is a named pipe")),
    Fault("sidecar: device", instead(NAME, lambda path: path.symlink_to("/dev/zero")), (FILE, "is a device")),
    Fault(
        "sidecar: link to nowhere",
        instead(NAME, lambda path: path.symlink_to("gone")),
        (FILE, "link to gone, which does not exist"),
    ),
    Fault(
        "sidecar: link in a circle",
        instead(NAME, lambda path: path.symlink_to(path.name)),
        (FILE, "leads back to itself"),
    ),
    Fault("sidecar: damaged at the level above", _inherited, (r"sub-01_VFA\.json", "line 1, column")),
    Fault("FlipAngle: missing", keys(FLIP, FlipAngle=None), (FILE, "FlipAngle: is missing")),
    Fault("FlipAngle: text", keys(FLIP, FlipAngle="three"), (FILE, "FlipAngle: is 'three'")),
    Fault("FlipAngle: a list", keys(FLIP, FlipAngle=[3, 10]), (FILE, r"FlipAngle: is \[3, 10\]")),
    Fault("FlipAngle: an object", keys(FLIP, FlipAngle={"a": 1}), (FILE, "FlipAngle: is")),
    Fault("FlipAngle: true", keys(FLIP, FlipAngle=True), (FILE, "FlipAngle: is True")),
    Fault("FlipAngle: negative", keys(FLIP, FlipAngle=-3), (FILE, "FlipAngle: is -3")),
    Fault("FlipAngle: 0", keys(FLIP, FlipAngle=0), (FILE, "FlipAngle: is 0")),
    Fault("FlipAngle: above 180", keys(FLIP, FlipAngle=200), (FILE, "FlipAngle: is 200")),
    Fault("FlipAngle: in radians", _all(FlipAngle=0.35), (r"VFA\.json", "FlipAngle", "57.296")),
    Fault("FlipAngle: one for all images", _all(FlipAngle=5), (r"VFA\.json", "have one angle")),
    Fault(
        "RepetitionTimeExcitation: missing", keys(FLIP, RepetitionTimeExcitation=None), (FILE, "is missing")
    ),
    Fault(
        "RepetitionTimeExcitation: in ms",
        keys(FLIP, RepetitionTimeExcitation=15),
        (FILE, "milliseconds, write 0.015"),
    ),
    Fault(
        "RepetitionTimeExcitation: in ms, as text",
        keys(FLIP, RepetitionTimeExcitation="6.8"),
        (FILE, "write 0.0068"),
    ),
    Fault("RepetitionTimeExcitation: 0", keys(FLIP, RepetitionTimeExcitation=0), (FILE, "is 0")),
    Fault("RepetitionTimeExcitation: negative", keys(FLIP, RepetitionTimeExcitation=-1), (FILE, "is -1")),
    Fault(
        "VolumeTiming: missing",
        keys(DCE, VolumeTiming=None),
        (r"dce\.json", "VolumeTiming: is missing"),
        fit="dce",
    ),
    Fault(
        "VolumeTiming: too few",
        keys(DCE, VolumeTiming=[0, 1]),
        (r"dce\.json", "VolumeTiming: .*2 values"),
        fit="dce",
    ),
    Fault(
        "VolumeTiming: does not increase",
        keys(DCE, VolumeTiming=[0.0] * 30),
        (r"dce\.json", "not 30 increasing"),
        fit="dce",
    ),
    Fault(
        "VolumeTiming: in ms",
        keys(DCE, VolumeTiming=[6000 * i for i in range(30)]),
        (r"dce\.json", "milliseconds"),
        fit="dce",
    ),
    Fault(
        "VolumeTiming: in minutes",
        keys(DCE, VolumeTiming=[0.1 * i for i in range(30)]),
        (r"dce\.json", "multiply by 60"),
        fit="dce",
    ),
    Fault("VolumeTiming: text", keys(DCE, VolumeTiming="soon"), (r"dce\.json", "VolumeTiming"), fit="dce"),
    Fault(
        "VolumeTiming: a list of lists",
        keys(DCE, VolumeTiming=[[0]] * 30),
        (r"dce\.json", "VolumeTiming"),
        fit="dce",
    ),
    Fault(
        "ContrastAgentRelaxivity: wrong unit",
        keys(DCE, ContrastAgentRelaxivity=4500),
        (r"dce\.json", "ContrastAgentRelaxivity: is 4500"),
        fit="dce",
    ),
    Fault(
        "Hematocrit: in percent", keys(DCE, Hematocrit=42), (r"dce\.json", "Hematocrit", "by 100"), fit="dce"
    ),
    Fault("BaselineVolumes: 0", keys(DCE, BaselineVolumes=0), (r"dce\.json", "BaselineVolumes"), fit="dce"),
    Fault(
        "diffusion sidecar: damaged",
        content(f"{DWI}.json", '{"EchoTime": 0.08'),
        (r"dwi\.json", "none of its keys is used", "fix:"),
        OK,
        fit="dwi",
        own=True,
    ),
    Fault(
        "diffusion sidecar: Latin-1",
        content(f"{DWI}.json", json.dumps({"A": "ä"}, ensure_ascii=False).encode("latin-1")),
        (r"dwi\.json", "is not UTF-8", "fix:"),
        OK,
        fit="dwi",
        own=True,
    ),
    Fault(
        "diffusion sidecar: a number beyond all",
        content(f"{DWI}.json", '{"EchoTime": 1e999}'),
        (r"dwi\.json", "without EchoTime", "fix:"),
        OK,
        fit="dwi",
        own=True,
    ),
    Fault(
        "diffusion sidecar: named pipe",
        instead(f"{DWI}.json", os.mkfifo),
        (r"dwi\.json", "is a named pipe", "fix:"),
        OK,
        fit="dwi",
        own=True,
    ),
    Fault(
        "diffusion sidecar: a gigabyte",
        instead(f"{DWI}.json", sparse(2**30)),
        (r"dwi\.json", "1,024 MB", "fix:"),
        OK,
        fit="dwi",
        own=True,
    ),
    Fault("sidecar: no permission", forbidden(NAME), (FILE, "its permissions forbid it", "chmod")),
    Fault(
        "diffusion sidecar: no permission",
        forbidden(f"{DWI}.json"),
        (r"dwi\.json", "its permissions forbid it", "fix:"),
        OK,
        fit="dwi",
        own=True,
    ),
]
