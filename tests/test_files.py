"""Files of others: whatever stands where a file should be is refused with one line, at once."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from pathlib import Path

import pytest

from bids_qmri import files
from bids_qmri.errors import InputError, printable
from bids_qmri.files import as_input_error, one_fault, parse_json, parsed, read_bytes, read_text


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # names of sockets are short
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


NO_FILES = {
    "missing": (lambda path: None, "does not exist"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "pipe": (lambda path: os.mkfifo(path), "is a named pipe"),
    "socket": (_socket, "is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "broken link": (lambda path: path.symlink_to("gone"), "it is a link to gone, which does not exist"),
    "circle": (lambda path: path.symlink_to(path.name), "leads back to itself"),
    "annex link": (lambda path: path.symlink_to(".git/annex/objects/x"), "git annex get"),
}


@pytest.mark.parametrize(("make", "seen"), NO_FILES.values(), ids=NO_FILES.keys())
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make, seen: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x.json"
    make(path)
    with pytest.raises(InputError, match=seen) as caught:
        read_text(path, 100)
    assert caught.value.file == path
    assert "fix: " in str(caught.value)


def test_a_file_above_its_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as stream:
        stream.truncate(2**31)  # sparse: takes no room
    with pytest.raises(InputError, match="has 2,048 MB; needed: a file of at most 1 MB"):
        read_bytes(path, 2**20)
    path.write_bytes(b"x" * 10)
    assert read_bytes(path, 10) == b"x" * 10


def test_a_file_of_the_system_without_a_size_is_read_within_the_limit() -> None:
    with pytest.raises(InputError, match="needed: a file of at most"):
        read_bytes(Path("/proc/self/environ"), 1)


def test_permissions_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("")

    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(InputError, match=r"permissions forbid it.*chmod"):
        read_bytes(tmp_path / "x", 10)


def test_text_loses_its_mark_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa\r\nb\rc")
    assert read_text(tmp_path / "x", 100) == "a\nb\nc"
    (tmp_path / "x").write_bytes(b"a\xff")
    with pytest.raises(InputError, match="byte 1 is not UTF-8"):
        read_text(tmp_path / "x", 100)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[" * 70 + "]" * 70, "nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('"\\ud800"', "half a character"),
        ("{", "Expecting"),
    ],
)
def test_json_that_nothing_could_write_again_is_refused(text: str, seen: str) -> None:
    with pytest.raises(ValueError, match=seen):
        parse_json(text)


def test_large_whole_numbers_are_floating_point_ones() -> None:
    assert parse_json("[1, -3, 12345678901234567890123]") == [1, -3, 12345678901234567890123.0]
    with pytest.raises(ValueError, match="5000 digits"):
        parse_json("9" * 5000)


@pytest.mark.parametrize(
    "text",
    [
        "a = 0x" + "f" * 5000,
        "a = [{b = 0x" + "f" * 5000 + "}]",
        "a = " + "9" * 5000,
        "a = " + "[" * 5000 + "]" * 5000,
        "a = 0000-00-00",
        "a =",
    ],
)
def test_whatever_a_parser_raises_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"x\.toml: .*; needed: options; fix: mend it\.$"):
        parsed(tomllib.loads, text, Path("x.toml"), needed="options", fix="mend it")


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (MemoryError(), "more memory than there is"),
        (OverflowError("too large"), r"OverflowError: too large"),
        (PermissionError(13, "no", "/a/b.json"), r"^/a/b\.json: cannot be opened \(its permissions"),
        (OSError(5, "io"), "copy it from its source"),
        (ValueError("x\ny"), r"\(ValueError: x y\)"),
    ],
)
def test_anything_raised_becomes_one_fault(error: Exception, seen: str) -> None:
    with pytest.raises(InputError, match=seen) as caught, one_fault("image.nii.gz"):
        raise error
    assert caught.value.file is not None
    assert "\n" not in str(caught.value)


def test_own_errors_stay_what_they_are() -> None:
    error = InputError("is wrong", file="x")
    assert as_input_error(error, "y") is error
    with pytest.raises(InputError) as caught, one_fault("y"):
        raise error
    assert caught.value is error


def test_messages_hold_nothing_that_a_terminal_obeys() -> None:
    assert printable("a\x1b[31mb\udcffü") == "a\\x1b[31mb\\udcffü"
    assert "\x1b" not in str(InputError("is \x1b[2J", file="a\udcff"))
    str(InputError("is", file="a\udcff")).encode()


OPENED_ELSEWHERE = {
    "bids/derivatives.py": "writes",
    "bids/packing.py": "unpacks what nifti.py has looked at",
    "estimators/networks/trial.py": "listens to its own process",
    "bids/nifti.py": "voxels, after the same check",
    "bids/participants.py": "compares its own copy",
    "estimators/compiled/library.py": "its own sources, and object code that its own user wrote",
}


def test_all_readers_of_files_of_others_go_through_one_module() -> None:
    package = Path(files.__file__).parent
    folders = ("bids", "techniques", "estimation", "estimators")
    found = {path for folder in folders for path in (package / folder).rglob("*.py")}
    found |= {package / "cli" / "config.py", package / "cli" / "reading.py"}
    opening = re.compile(
        r"\.read_(text|bytes)\(|\bopen\(|json\.load|tomllib\.load\(|np\.loadtxt|csv\.reader\(\w*stream"
    )
    direct = {path.relative_to(package).as_posix() for path in found if opening.search(path.read_text())}
    assert direct <= OPENED_ELSEWHERE.keys()
