"""participants.tsv is kept beside the maps, for those who have some."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_qmri.bids.participants import Participants, copy_participants, read_participants

TABLE = "participant_id\tage\tsite\nsub-01\t30\tA\nsub-02\tn/a\tB\nsub-03\t50\tA\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return a raw dataset of three participants and an output dataset of two."""
    raw, output = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    (raw / "participants.tsv").write_text(TABLE)
    for label in ("01", "03"):
        (output / f"sub-{label}").mkdir(parents=True)
    return raw, output


def test_lines_of_those_with_a_folder_are_copied(folders: tuple[Path, Path]) -> None:
    copy_participants(*folders)
    assert read_participants(folders[1]) == Participants(
        ("age", "site"), {"01": ("30", "A"), "03": ("50", "A")}
    )


def test_a_change_of_the_raw_table_is_copied_and_an_equal_one_leaves_the_file_alone(
    folders: tuple[Path, Path],
) -> None:
    raw, output = folders
    copy_participants(raw, output)
    before = (output / "participants.tsv").stat().st_mtime_ns
    copy_participants(raw, output)
    assert (output / "participants.tsv").stat().st_mtime_ns == before
    (raw / "participants.tsv").write_text(TABLE.replace("30", "31"))
    copy_participants(raw, output)
    assert read_participants(output).rows["01"] == ("31", "A")


def test_without_raw_data_the_copy_stays(folders: tuple[Path, Path], tmp_path: Path) -> None:
    copy_participants(*folders)
    copy_participants(tmp_path / "gone", folders[1])
    assert set(read_participants(folders[1]).rows) == {"01", "03"}


def test_the_dictionary_comes_along(folders: tuple[Path, Path]) -> None:
    (folders[0] / "participants.json").write_text('{"age": {"Units": "year"}}')
    copy_participants(*folders)
    assert "year" in (folders[1] / "participants.json").read_text()


@pytest.mark.parametrize("content", [b"", b"name\tage\n1\t2\n", b"participant_id\n\xff\xfe\n"])
def test_a_table_that_cannot_be_read_is_no_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "participants.tsv").write_bytes(content)
    assert read_participants(tmp_path) == Participants()


@pytest.mark.parametrize("label", ["sub-01/../..", "../out", "sub-99", "01"])
def test_labels_that_are_no_folder_of_a_participant_are_not_copied(
    folders: tuple[Path, Path], label: str
) -> None:
    raw, output = folders
    (raw / "participants.tsv").write_text(f"participant_id\tage\n{label}\t1\n")
    copy_participants(raw, output)
    assert read_participants(output).rows == {}


def test_quotes_and_byte_order_marks_mean_nothing(tmp_path: Path) -> None:
    text = '\ufeffparticipant_id\tnote\nsub-1\t"open\nsub-2\tclosed"\n'
    (tmp_path / "participants.tsv").write_text(text, encoding="utf-8")
    assert read_participants(tmp_path).rows == {"1": ('"open',), "2": ('closed"',)}
