"""An interrupted run ends at once, says so, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bids_qmri.cli.exit import MEANING, ExitCode
from bids_qmri.cli.interrupt import end_on_signals

RUN = """
import multiprocessing, sys, time
from bids_qmri.cli import run

def level(name, config):
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    worker.start()
    print(worker.pid, flush=True)
    try:
        time.sleep(60)
    except BaseException as error:  # what nipype does to an interrupt
        print("swallowed", error)
    time.sleep(60)

run._run_level = level
sys.exit(run.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_and_its_workers(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    arguments = [str(tmp_path / "bids"), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # a test run in the background would hand down that some signals are ignored
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        run.send_signal(number)
        rest = run.stdout.read()
        assert run.wait(timeout=10) == 128 + number
    assert rest.splitlines() == [f"bids_qmri: exit code {128 + number}: {MEANING[ExitCode(128 + number)]}"]
    # killed before the run ended, but the kernel may take a moment on a busy machine
    until = time.monotonic() + 5
    while _lives(worker) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _lives(worker)


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with end_on_signals(os.getpid):
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_the_caller_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with end_on_signals(os.getpid):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
