"""Processors that may be used: what a scheduler or a container grants, not what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_qmri.cli import processors


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(processors, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(processors, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_groups_it_is_what_the_process_may_run_on(groups: Path) -> None:
    assert processors.available_processors() == 8


@pytest.mark.parametrize(("limit", "count"), [("300000 100000", 3), ("50000 100000", 1), ("max 100000", 8)])
def test_the_share_of_a_group_counts_whole_processors(groups: Path, limit: str, count: int) -> None:
    write(groups / "membership", "0::/job/step\n")
    write(groups / "groups" / "job" / "cpu.max", f"{limit}\n")
    assert processors.available_processors() == count


@pytest.mark.parametrize(("quota", "count"), [("200000", 2), ("-1", 8)])
def test_the_old_version_of_groups_is_read(groups: Path, quota: str, count: int) -> None:
    write(groups / "membership", "4:cpu,cpuacct:/job\n3:memory:/job\n")
    write(groups / "groups" / "cpu" / "cpu.cfs_quota_us", quota)
    write(groups / "groups" / "cpu" / "cpu.cfs_period_us", "100000")
    assert processors.available_processors() == count
