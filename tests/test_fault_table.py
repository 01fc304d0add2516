"""Every kind of fault of the table, in whole runs: code, one line with file and fix, others go on."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.kinds import FAILED, FITS, OK, USAGE, Case, Fault, build
from faults.table import ALL, PAGE, page
from permissions import binding

from bids_qmri.cli.run import main

MINIMUM = 120


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the sound dataset of a fit, made once."""
    made: dict[str, Path] = {}

    def get(fit: str) -> Path:
        if fit not in made:
            made[fit] = build(tmp_path_factory.mktemp(fit) / "raw", fit)
        return made[fit]

    return get


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    (tmp_path / "extra").mkdir()
    return Case(tmp_path / "raw", tmp_path / "out", tmp_path / "work", tmp_path / "extra")


def _has_maps(case: Case, fault: Fault, participant: str) -> bool:
    _, datatype, pattern = FITS[fault.fit]
    return any((case.out / participant / datatype).glob(pattern))


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.kind)
def test_a_fault_costs_one_thing_and_is_one_line(
    fault: Fault, case: Case, sound: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(sound(fault.fit), case.root)
    more = list(fault.spoil(case) or ())
    level = [more.pop(more.index("group"))] if "group" in more else []
    arguments = [str(case.root), str(case.out), "participant", *level, "-w", str(case.work), "--nprocs", "1"]
    with binding():
        code = main([*arguments, *FITS[fault.fit][0], *more])
    printed = capfd.readouterr()
    lines = printed.err.splitlines()
    assert code == fault.code, printed.err
    assert f"exit code {code}" in printed.out.splitlines()[-1]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    pattern = re.compile(".*".join(fault.says))
    said = [line for line in lines if pattern.search(line)]
    assert said, printed.err
    # What concerns everybody is said of everybody, once each.
    times = 1 if fault.others or fault.code == USAGE else len({line.split(": ")[1] for line in said})
    assert len(said) == times or fault.code == OK, printed.err
    if fault.code in (FAILED, USAGE):
        assert errors == said, printed.err
        assert all("fix: " in line or "needed: " in line for line in said)
    logs = "".join(path.read_text() for path in case.out.glob("logs/*.log")) if case.out.is_dir() else ""
    for text in (printed.err, printed.out, logs):
        assert "Traceback" not in text
        assert "internal error" not in text
    assert _has_maps(case, fault, "sub-02") or not fault.others
    assert _has_maps(case, fault, "sub-01") == fault.own


def test_the_table_has_as_many_kinds_as_it_promises_each_once() -> None:
    kinds = [fault.kind for fault in ALL]
    assert len(kinds) == len(set(kinds))
    assert len(kinds) >= MINIMUM


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/faults/table.py"
