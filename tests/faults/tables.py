"""Faults of tables: b-values and directions, arterial inputs, participants, names of regions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import synth
from faults.kinds import AIF, DWI, OK, Case, Fault, Spoil, content, forbidden, instead, keys, sparse

BVAL, BVEC, TSV = r"sub-01_dwi\.bval", r"sub-01_dwi\.bvec", r"sub-01_aif\.tsv"


def _bval(text: str | bytes) -> Spoil:
    return content(f"{DWI}.bval", text)


def _bvec(text: str | bytes) -> Spoil:
    return content(f"{DWI}.bvec", text)


def _aif(rows: str) -> Spoil:
    return content(f"{AIF}.tsv", rows.replace(" ", "\t"))


def _rivals(case: Case) -> None:
    """Write two tables that apply equally and differ."""
    table = case.folder / f"{DWI}.bval"
    values = table.read_text()
    table.rename(table.with_name("sub-01_acq-x_dwi.bval"))
    for suffix in (".nii.gz", ".bvec", ".json"):
        old = case.folder / f"{DWI}{suffix}"
        old.rename(old.with_name(f"sub-01_acq-x_dir-y_dwi{suffix}"))
    table.with_name("sub-01_dir-y_dwi.bval").write_text(values.replace("1000", "900"))


def _regions(make: Callable[[Path], object]) -> Spoil:
    """Give regions on the grid with a table of names that is spoiled."""

    def spoil(case: Case) -> list[str]:
        root = case.extra / "regions"
        synth.new_dataset(root, "derivative")
        synth.write_image(root / "sub-01/anat/sub-01_dseg.nii.gz", np.ones(synth.SHAPE))
        make(root / "sub-01/anat/sub-01_dseg.tsv")
        return ["-d", f"regions={root}"]

    return spoil


def _participants(make: Callable[[Path], object]) -> Spoil:
    return lambda case: (make(case.root / "participants.tsv"), ["group"])[1]


def _wrong_norm() -> str:
    table = synth.gradient_table((0, *([1000] * 12)))
    table[3] *= 1.5
    return "\n".join(" ".join(f"{x:.6f}" for x in row) for row in table.T)


SHORT = "0" + " 1000" * 11
GOOD = "0" + " 1000" * 12

ROWS = [
    Fault("b-values: empty", _bval(""), (BVAL, "is empty"), fit="dwi"),
    Fault("b-values: too few", _bval(SHORT), (BVAL, "12 b-values but the image has 13 volumes"), fit="dwi"),
    Fault("b-values: too many", _bval(GOOD + " 1000"), (BVAL, "14 b-values"), fit="dwi"),
    Fault("b-values: a word", _bval("zero" + " 1000" * 12), (BVAL, "line 1: .*'zero'"), fit="dwi"),
    Fault("b-values: NaN", _bval("nan" + " 1000" * 12), (BVAL, "not finite"), fit="dwi"),
    Fault("b-values: infinite", _bval("0 inf" + " 1000" * 11), (BVAL, "not finite"), fit="dwi"),
    Fault("b-values: a number beyond all", _bval("0 1e999" + " 1000" * 11), (BVAL, "not finite"), fit="dwi"),
    Fault(
        "b-values: a number of 5,000 digits",
        _bval("0 " + "9" * 5000 + " 1000" * 11),
        (BVAL, "not finite"),
        fit="dwi",
    ),
    Fault(
        "b-values: negative", _bval("0 -1000" + " 1000" * 11), (BVAL, "holds the b-value -1000"), fit="dwi"
    ),
    Fault("b-values: in s/m^2", _bval("0" + " 1e9" * 12), (BVAL, "divide by 1e6"), fit="dwi"),
    Fault("b-values: two rows", _bval(GOOD + "\n" + GOOD), (BVAL, "has 2 rows"), fit="dwi"),
    Fault("b-values: bytes", _bval(b"\x00\xff\xfe"), (BVAL, "is not UTF-8"), fit="dwi"),
    Fault("b-values: UTF-16", _bval(GOOD.encode("utf-16")), (BVAL, "is not UTF-8"), fit="dwi"),
    Fault("b-values: a gigabyte", instead(f"{DWI}.bval", sparse(2**30)), (BVAL, "has 1,024 MB"), fit="dwi"),
    Fault("b-values: named pipe", instead(f"{DWI}.bval", os.mkfifo), (BVAL, "is a named pipe"), fit="dwi"),
    Fault(
        "b-values: device",
        instead(f"{DWI}.bval", lambda path: path.symlink_to("/dev/zero")),
        (BVAL, "is a device"),
        fit="dwi",
    ),
    Fault("b-values: folder", instead(f"{DWI}.bval", Path.mkdir), (BVAL, "is a folder"), fit="dwi"),
    Fault(
        "b-values: link to nowhere",
        instead(f"{DWI}.bval", lambda path: path.symlink_to("gone")),
        (BVAL, "does not exist"),
        fit="dwi",
    ),
    Fault(
        "b-values: two tables that differ",
        _rivals,
        (r"dwi\.bval", "apply equally to", "and differ"),
        fit="dwi",
    ),
    Fault(
        "directions: too few",
        _bvec("1 0\n0 1\n0 0"),
        (BVEC, "directions but the image has 13 volumes"),
        fit="dti",
    ),
    Fault("directions: four rows", _bvec("\n".join([GOOD] * 4)), (BVEC, "has 4 rows"), fit="dti"),
    Fault("directions: rows of different length", _bvec("1 0 0\n0 1\n0 0 1"), (BVEC, "numbers"), fit="dti"),
    Fault("directions: a word", _bvec("x y z"), (BVEC, "line 1"), fit="dti"),
    Fault("directions: empty", _bvec(""), (BVEC, "is empty"), fit="dti"),
    Fault("directions: of another length", _bvec(_wrong_norm()), (BVEC, "length"), fit="dti"),
    Fault("directions: named pipe", instead(f"{DWI}.bvec", os.mkfifo), (BVEC, "is a named pipe"), fit="dti"),
    Fault("directions: bytes", _bvec(b"\xff\xfe"), (BVEC, "is not UTF-8"), fit="dti"),
    Fault("arterial input: other columns", _aif("t c\n0 0\n90 3"), (TSV, "columns t, c"), fit="dce"),
    Fault("arterial input: text", _aif("time concentration\n0 0\n90 n/a"), (TSV, "no number"), fit="dce"),
    Fault("arterial input: one row", _aif("time concentration\n0 0"), (TSV, "has 1 rows"), fit="dce"),
    Fault("arterial input: empty", _aif(""), (TSV, "0 rows"), fit="dce"),
    Fault(
        "arterial input: infinite",
        _aif("time concentration\n0 0\n90 1e999\n180 1"),
        (TSV, "not finite"),
        fit="dce",
    ),
    Fault(
        "arterial input: times fall",
        _aif("time concentration\n90 0\n0 3"),
        (TSV, "do not increase"),
        fit="dce",
    ),
    Fault(
        "arterial input: in mol",
        _aif("time concentration\n0 0\n90 0.004\n180 0.001"),
        (TSV, "highest value is 0.004"),
        fit="dce",
    ),
    Fault("arterial input: bytes", content(f"{AIF}.tsv", b"\xff\xfe\x00"), (TSV, "is not UTF-8"), fit="dce"),
    Fault(
        "arterial input: named pipe", instead(f"{AIF}.tsv", os.mkfifo), (TSV, "is a named pipe"), fit="dce"
    ),
    Fault(
        "arterial input: a gigabyte", instead(f"{AIF}.tsv", sparse(2**30)), (TSV, "has 1,024 MB"), fit="dce"
    ),
    Fault(
        "arterial input: of blood or plasma?",
        keys(AIF, ConcentrationType=None),
        (r"aif\.json", "ConcentrationType: is missing"),
        fit="dce",
    ),
    Fault(
        "arterial input: unknown unit",
        keys(AIF, time={"Units": "frames"}),
        (r"aif\.json", "time: Units: is 'frames'"),
        fit="dce",
    ),
    Fault(
        "arterial input: damaged sidecar",
        content(f"{AIF}.json", "{"),
        (r"aif\.json", "line 1, column"),
        fit="dce",
    ),
    Fault(
        "names of regions: bytes",
        _regions(lambda path: path.write_bytes(b"index\tname\n1\t\xff\n")),
        (r"dseg\.tsv", "is not UTF-8", "regions are named by number"),
        OK,
        own=True,
    ),
    Fault(
        "names of regions: named pipe",
        _regions(os.mkfifo),
        (r"dseg\.tsv", "is a named pipe", "regions are named by number"),
        OK,
        own=True,
    ),
    Fault(
        "names of regions: a gigabyte",
        _regions(sparse(2**30)),
        (r"dseg\.tsv", "has 1,024 MB", "regions are named by number"),
        OK,
        own=True,
    ),
    Fault(
        "names of regions: an index of 5,000 digits",
        _regions(lambda path: path.write_text("index\tname\n" + "9" * 5000 + "\ta\n")),
        (r"dseg\.tsv", "an index has 5000 digits", "regions are named by number"),
        OK,
        own=True,
    ),
    Fault(
        "participants: bytes",
        _participants(lambda path: path.write_bytes(b"participant_id\tage\nsub-01\t\xff\n")),
        (r"participants\.tsv", "is not UTF-8"),
        OK,
        own=True,
    ),
    Fault(
        "participants: without participant_id",
        _participants(lambda path: path.write_text("id\tage\nsub-01\t3\n")),
        (r"participants\.tsv", "has no column participant_id"),
        OK,
        own=True,
    ),
    Fault(
        "participants: a gigabyte",
        _participants(sparse(2**30)),
        (r"participants\.tsv", "has 1,024 MB"),
        OK,
        own=True,
    ),
    Fault(
        "b-values: no permission", forbidden(f"{DWI}.bval"), (BVAL, "its permissions forbid it"), fit="dwi"
    ),
    Fault(
        "directions: no permission", forbidden(f"{DWI}.bvec"), (BVEC, "its permissions forbid it"), fit="dti"
    ),
    Fault(
        "arterial input: no permission",
        forbidden(f"{AIF}.tsv"),
        (TSV, "its permissions forbid it"),
        fit="dce",
    ),
]
