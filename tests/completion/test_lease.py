"""One run at a time works on a participant; a dead one does not keep the lease, a suspended one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bids_qmri.completion import lease as leases
from bids_qmri.completion.lease import EXPIRY, Lease, kept_alive, lease_path, release_all, take
from bids_qmri.errors import BusyError
from bids_qmri.owner import Owner, owner_of, this_process

ELSEWHERE = Owner("00000000", 1, 1)


def held_by(owner: Owner, folder: Path, age: float = 0.0) -> Path:
    """Write the lease of another run, last renewed some seconds ago."""
    path = lease_path(folder, "01")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"Run": "other", "Owner": owner.token, "Host": "there", "Pid": owner.pid}))
    now = path.stat().st_mtime
    os.utime(path, (now - age, now - age))
    return path


def dead_process() -> Owner:
    """Return a process of this machine that has ended."""
    code = "from bids_qmri.owner import this_process; print(this_process().token)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    owner = owner_of(done.stdout)
    assert owner is not None
    return owner


def test_an_owner_is_told_from_its_token_and_from_other_numbers_in_a_name() -> None:
    me = this_process()
    assert owner_of(f"20261201-123456-12345678.{me.token}.part") == me
    assert owner_of("20261201-123456-12345678") is None
    assert me.lives()
    assert ELSEWHERE.lives() is None
    assert dead_process().lives() is False


def test_a_process_that_got_the_number_of_a_dead_one_is_not_it() -> None:
    me = this_process()
    assert Owner(me.machine, me.pid, me.start - 1).lives() is (me.start == 0)


def test_the_second_run_is_told_who_is_at_work_and_the_lease_can_be_had_after(tmp_path: Path) -> None:
    first = take(tmp_path, "01", "one")
    with pytest.raises(BusyError, match=rf"sub-01 is in work by another run \(process {os.getpid()} on"):
        take(tmp_path, "01", "two")
    take(tmp_path, "02", "two").release()
    first.release()
    assert take(tmp_path, "01", "two").is_held()
    release_all()
    assert not (tmp_path / ".bids_qmri").exists()


def test_a_dead_process_of_this_machine_keeps_nothing(tmp_path: Path) -> None:
    path = held_by(dead_process(), tmp_path)
    lease = take(tmp_path, "01", "two")
    assert leases.read_lease(path)["Run"] == "two"
    lease.release()
    assert not path.exists()


@pytest.mark.parametrize("age", [0.0, EXPIRY + 60])
def test_a_run_of_another_machine_keeps_its_lease_while_it_renews_it(tmp_path: Path, age: float) -> None:
    held_by(ELSEWHERE, tmp_path, age)
    if age < EXPIRY:
        with pytest.raises(BusyError, match="on there"):
            take(tmp_path, "01", "two")
    else:
        take(tmp_path, "01", "two").release()


def test_a_suspended_process_of_this_machine_is_not_dead_however_long_it_is_silent(tmp_path: Path) -> None:
    held_by(this_process(), tmp_path, 100 * EXPIRY)
    with pytest.raises(BusyError):
        take(tmp_path, "01", "two")


def test_leases_are_renewed_while_they_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWAL", 0.01)
    lease = take(tmp_path, "01", "one")
    os.utime(lease.path, (0, 0))
    with kept_alive(tmp_path):
        until = time.monotonic() + 10
        while lease.path.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
    assert lease.path.stat().st_mtime > 0
    lease.release()


def test_who_lost_the_lease_does_not_give_back_that_of_the_next(tmp_path: Path) -> None:
    lost = Lease(tmp_path, "01", "one")
    path = held_by(ELSEWHERE, tmp_path)
    assert not lost.is_held()
    lost.release()
    assert path.exists()


def test_a_lease_that_another_run_took_meanwhile_is_put_back(tmp_path: Path) -> None:
    path = held_by(ELSEWHERE, tmp_path)
    leases._remove(path, {"Run": "a third one, which was over"})
    assert leases.read_lease(path)["Run"] == "other"
