"""Studies for `benchmarks.reliability`, and how their runs are started, measured and compared."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import nibabel as nib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "inline"))
import mrd

TR, ANGLES = 0.015, (3, 8, 20)
SEED = 20262


@dataclass(frozen=True)
class Study:
    """A dataset and the folder for intermediate files."""

    bids: Path
    work: Path

    @property
    def labels(self) -> set[str]:
        """Participants, with ``sub-``."""
        return {path.name for path in self.bids.glob("sub-*")}


def new_study(folder: Path, participants: int, shape: Sequence[int] = (12, 10, 4)) -> Study:
    """Write a study of noisy spoiled gradient echoes."""
    study = Study(folder / "bids", folder / "work")
    study.bids.mkdir(parents=True)
    _json(study.bids / "dataset_description.json", {"Name": "reliability", "BIDSVersion": "1.11.1"})
    noise = np.random.default_rng(SEED)
    t1 = noise.uniform(0.6, 2.0, tuple(shape))
    for number in range(1, participants + 1):
        anat = study.bids / f"sub-{number:02d}" / "anat"
        anat.mkdir(parents=True)
        for place, angle in enumerate(ANGLES, 1):
            decay, a = np.exp(-TR / t1), np.deg2rad(angle)
            signal = 1000 * np.sin(a) * (1 - decay) / (1 - decay * np.cos(a))
            values = np.abs(signal + noise.normal(0, 0.5, signal.shape)).astype(np.float32)
            stem = anat / f"sub-{number:02d}_flip-{place}_VFA"
            nib.save(nib.Nifti1Image(values, np.diag((2.0, 2.0, 2.0, 1.0))), f"{stem}.nii.gz")
            keys = {"FlipAngle": angle, "RepetitionTimeExcitation": TR, "PulseSequenceType": "SPGR"}
            _json(Path(f"{stem}.json"), keys)
    return study


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def command(study: Study, out: Path, *more: str, level: str = "participant") -> list[str]:
    """Return the command line of a run; one process unless `more` says otherwise."""
    single = () if "--nprocs" in more else ("--nprocs", "1")
    return [
        *(sys.executable, "-m", "bids_qmri", str(study.bids), str(out), level),
        *("-w", str(study.work), *single, *more),
    ]


def run(study: Study, out: Path, *more: str, level: str = "participant") -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        command(study, out, *more, level=level), capture_output=True, text=True, check=False
    )


def compared(out: Path) -> dict[str, bytes]:
    """Return maps, sidecars and tables of participants; pages differ, for they tell the times of fits."""
    files = [path for folder in ("anat",) for path in out.glob(f"sub-*/{folder}/*")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(files)}


def stale(out: Path, work: Path) -> list[Path]:
    """Return what a run should not leave: unfinished files, leases, intermediate files."""
    left = [path for path in out.rglob("*") if path.name.endswith(".part") or ".bids_qmri" in path.parts]
    return [*left, *(work / "bids_qmri").glob("*")]


def cpu_and_memory(arguments: Sequence[str]) -> tuple[float, float, str]:
    """Return processor seconds, peak memory in MB and messages of a process and those it waited for."""
    read, write = os.pipe()
    pid = os.posix_spawn(
        arguments[0],
        list(arguments),
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 2), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as stream:
        text = stream.read()
    _, status, used = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, text
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


@dataclass(frozen=True)
class Disk:
    """A small file system in memory."""

    path: Path

    def enlarge(self) -> None:
        """Give it room."""
        subprocess.run(["mount", "-o", "remount,size=64m", str(self.path)], check=True)


@contextmanager
def small_disk(path: Path, kilobytes: int) -> Iterator[Disk]:
    """Mount a file system of some size while it lasts; only root may."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)], check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def inline_server() -> Iterator[int]:
    """Run the inline server while it lasts; gives its port."""
    command = "import sys; from bids_qmri.cli.inline import main; sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", command, "--port", "0", "--config", "vfa-lsq"]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = next(filter(None, (re.search(r"port (\d+)", line) for line in process.stderr)))
        Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield int(found[1])
        finally:
            process.terminate()


def exchange(port: int) -> float:
    """Send a series of three flip angles to the server, take its maps, and return the seconds that took."""
    shape = (64, 64)
    noise = np.random.default_rng(SEED)
    images = []
    for place, angle in enumerate(ANGLES):
        attributes = mrd.meta(FlipAngle=angle, RepetitionTime=1000 * TR)
        decay, a = np.exp(-TR / 1.2), np.deg2rad(angle)
        level = 1000 * np.sin(a) * (1 - decay) / (1 - decay * np.cos(a))
        pixels = (level + noise.normal(0, 0.5, shape)).astype(np.int16)
        images.append(mrd.image(pixels, attributes, contrast=place, index=place + 1))
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(mrd.config("vfa-lsq") + mrd.header() + b"".join(images) + mrd.CLOSE)
        answer = mrd.read_answer(client)
    assert answer.closed
    assert answer.map("t1").size, answer.texts
    return time.monotonic() - started
