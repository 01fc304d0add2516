"""The command that scanners' hosts talk to: where it listens, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bids_qmri.cli.inline import main, make_parser

# Background jobs of a shell ignore SIGINT, and so would a server that a test starts in one.
COMMAND = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from bids_qmri.cli.inline import main; sys.exit(main(sys.argv[1:]))"
)


def test_it_listens_on_the_loopback_unless_told_otherwise():
    args = make_parser().parse_args([])
    assert (args.address, args.port) == ("127.0.0.1", 9002)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to_even_with_a_client(number):
    options = ["--port", "0", "--config", "vfa-lsq"]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *options], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        port = int(re.search(r"listens on 127.0.0.1, port (\d+)", server.stderr.readline())[1])
        try:
            with socket.create_connection(("127.0.0.1", port)):
                server.send_signal(number)
                assert server.wait(timeout=10) == 0
        finally:
            server.kill()
        assert "exit code 0" in server.stdout.read()


def test_other_addresses_come_with_a_warning():
    options = ["--port", "0", "--config", "vfa-lsq", "--address", "0.0.0.0"]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *options], stderr=subprocess.PIPE, text=True
    ) as server:
        assert "nobody is asked for a password" in server.stderr.readline()
        server.terminate()


def test_an_unknown_configuration_is_said_at_once(capsys):
    assert main(["--config", "nothing"]) == 2
    assert "no configuration is called 'nothing'" in capsys.readouterr().err


def test_a_port_in_use_is_said_at_once(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["--config", "vfa-lsq", "--port", str(other.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--configs", "--networks"])
def test_a_folder_that_is_not_there_is_said_at_once(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([option, str(tmp_path / "nowhere"), "--port", "0"]) == 2
    assert f"{option}: is not a folder" in capsys.readouterr().err


IMPOSSIBLE = ("--port 70000", "--port -1", "--threads 0", "--threads 1000000", "--idle 0", "--max-clients 0")


@pytest.mark.parametrize("arguments", [text.split() for text in IMPOSSIBLE], ids=IMPOSSIBLE)
def test_impossible_ports_threads_and_times_are_refused_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1
    assert arguments[0] in errors[0]
