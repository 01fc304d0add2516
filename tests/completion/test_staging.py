"""Results take their place by one switch: all of one run, or what was there before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_qmri.completion import staging
from bids_qmri.completion.lease import Lease, take
from bids_qmri.completion.staging import (
    assemble,
    clear,
    clear_remains,
    fit_folder,
    place_pages,
    prepare,
    switch,
)
from bids_qmri.errors import BusyError
from bids_qmri.owner import Owner, this_process

MAPS = ("sub-01/anat/t1.nii.gz", "sub-01/anat/t1_sd.nii.gz")
OTHER = "sub-01/anat/bayes.nii.gz"


@pytest.fixture
def lease(tmp_path: Path) -> Lease:
    """Return the lease of a participant with old maps, with new ones of a fit that wait."""
    write(tmp_path, "old", *MAPS, OTHER)
    (tmp_path / "sub-01.html").write_text("old")
    held = take(tmp_path, "01", "run")
    prepare(held)
    write(fit_folder(held, "sub-01 vfa lsq"), "new", *MAPS)
    return held


def write(root: Path, text: str, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def put_together(lease: Lease) -> None:
    (assemble(lease, MAPS, ["sub-01 vfa lsq"]) / "sub-01.html").write_text("new")


@pytest.mark.parametrize("exchanges", [True, False])
def test_maps_and_page_are_new_and_those_of_other_fits_stay(
    lease: Lease, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(staging, "_rename_exchange", lambda *_: False)
    put_together(lease)
    out = lease.output_dir
    assert {(out / name).read_text() for name in (*MAPS, "sub-01.html")} == {"old"}
    switch(lease)
    place_pages(lease)
    clear(lease)
    assert {(out / name).read_text() for name in (*MAPS, "sub-01.html")} == {"new"}
    assert (out / OTHER).read_text() == "old"
    lease.release()
    assert sorted(path.name for path in out.iterdir()) == ["sub-01", "sub-01.html"]


def test_a_map_that_the_new_fit_did_not_write_goes(lease: Lease) -> None:
    (fit_folder(lease, "sub-01 vfa lsq") / MAPS[1]).unlink()
    put_together(lease)
    switch(lease)
    assert not (lease.output_dir / MAPS[1]).exists()


def test_a_run_that_was_taken_over_puts_nothing_in_place(lease: Lease) -> None:
    put_together(lease)
    lease.path.write_text('{"Run": "other"}')
    other = Lease(lease.output_dir, "01", "other", Owner("00000000", 1, 1))
    prepare(other)
    for _ in range(2):
        with pytest.raises(BusyError, match="taken over by another run"):
            switch(lease)
        # The other one's lease is not even needed for that: the folder is gone.
        lease.path.write_text('{"Run": "run"}')
    assert (lease.output_dir / MAPS[0]).read_text() == "old"


def test_a_run_that_died_between_the_halves_of_its_switch_loses_nothing(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> bool:
        (lease.staging / staging.OLD).mkdir()
        final = lease.output_dir / "sub-01"
        final.rename(lease.staging / staging.OLD / "sub-01")
        raise KeyboardInterrupt

    monkeypatch.setattr(staging, "_rename_exchange", die)
    put_together(lease)
    with pytest.raises(KeyboardInterrupt):
        switch(lease)
    lease.release()
    prepare(take(lease.output_dir, "01", "next"))
    assert (lease.output_dir / MAPS[0]).read_text() == "old"


def test_putting_together_begins_anew_after_a_kill(lease: Lease) -> None:
    put_together(lease)
    put_together(lease)
    switch(lease)
    assert (lease.output_dir / MAPS[0]).read_text() == "new"


def test_what_a_dead_run_left_of_a_participant_goes_and_that_of_a_living_one_stays(lease: Lease) -> None:
    dead = Owner(this_process().machine, 2**22 + 1, 1)
    fields = json.loads(lease.path.read_text()) | {"Run": "dead", "Owner": dead.token}
    take(lease.output_dir, "02", "alive")
    lease.path.write_text(json.dumps(fields))
    clear_remains(lease.output_dir, "next")
    folder = lease.output_dir / ".bids_qmri"
    assert [path.name for path in folder.iterdir()] == ["sub-02.json"]
    assert (lease.output_dir / MAPS[0]).read_text() == "old"


def test_unfinished_files_go_with_their_process_and_those_of_others_after_a_day(tmp_path: Path) -> None:
    alive, dead, far = this_process(), Owner(this_process().machine, 2**22 + 1, 1), Owner("00000000", 1, 1)
    for owner in (alive, dead, far):
        (tmp_path / f".group.tsv.{owner.token}.ab12.part").touch()
    clear_remains(tmp_path, "next")
    assert {path.name.split(".")[3] for path in tmp_path.iterdir()} == {alive.token, far.token}
