"""What is for people at a terminal alone: colours, and words that a shell completes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys; from bids_qmri.cli.{} import main; sys.exit(main())"
WRONG = ["-c", PROGRAM.format("run"), "/nowhere", "/nowhere-else", "participant"]
RED = b"\x1b[31mERROR\x1b[0m: "
ANSWER_HERE = ["bash", "-c", 'exec "$@" 8>&1', "bash"]
"""Completion answers on the eighth file descriptor (argcomplete's protocol)."""


def on_a_terminal(**variables: str) -> bytes:
    """Return what the command prints on a terminal."""
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    environment |= {"TERM": "xterm"} | variables
    process = subprocess.Popen([sys.executable, *WRONG], stderr=theirs, env=environment)
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 4096):
            text += part
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(ours)
    assert process.wait() == 2
    return text


def test_errors_are_red_on_a_terminal() -> None:
    assert on_a_terminal().startswith(RED)


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_there_are_no_colours_where_they_are_not_wanted(variables: dict[str, str]) -> None:
    assert on_a_terminal(**variables).startswith(b"ERROR: ")


def test_there_are_no_colours_in_a_file() -> None:
    done = subprocess.run([sys.executable, *WRONG], capture_output=True, check=False)
    assert done.stderr.startswith(b"ERROR: ")


@pytest.mark.parametrize("call", [("networks", "list"), ("train", "--list")])
def test_who_reads_on_no_more_makes_no_error(call: tuple[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", PROGRAM.format(call[0]), call[1]]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert "Error" not in done.stderr


def completed(module: str, line: str) -> list[str]:
    """Return what a shell offers at the end of a line."""
    pytest.importorskip("argcomplete", reason="the extra completion is not installed")
    environment = os.environ | {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    environment["_ARGCOMPLETE_IFS"] = "\n"
    command = [*ANSWER_HERE, sys.executable, "-c", PROGRAM.format(module)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    return [word.strip() for word in done.stdout.split("\n") if word]


def test_options_and_their_values_are_completed(tmp_path: Path) -> None:
    assert completed("run", "bids_qmri /data /out participant --est") == ["--estimators"]
    assert completed("run", "bids_qmri /data /out participant --models no") == ["noddi", "noddiexvivo"]
    assert completed("status", "bids_qmri-status --inc") == ["--incomplete"]
    (tmp_path / "sub-left").mkdir()
    (tmp_path / "sub-right").mkdir()
    typed = f"bids_qmri {tmp_path} /out participant --participant-label"
    assert completed("run", f"{typed} le") == ["left"]
    assert completed("networks", "bids_qmri-networks ch") == ["check"]
