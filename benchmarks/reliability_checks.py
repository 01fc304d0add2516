"""The checks of `benchmarks.reliability`: each does something to runs of a study and says what came out."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from benchmarks.reliability_study import (
    children_of,
    command,
    compared,
    cpu_and_memory,
    exchange,
    inline_server,
    new_study,
    run,
    small_disk,
    stale,
)

KILLS, STOPS, WORKERS, GROUPS, DISKS = 100, 20, 5, 40, 60


def kill(folder: Path, draw: random.Random) -> str:
    """Kill runs at random moments, run again, and compare with a run that was left alone."""
    study = new_study(folder, participants=3)
    started = time.monotonic()
    assert run(study, folder / "alone").returncode == 0
    lasts = time.monotonic() - started
    expected = compared(folder / "alone")
    same = clean = 0
    for number in range(KILLS):
        out, nprocs = folder / f"out{number}", 1 + number % 2
        with subprocess.Popen(
            command(study, out, "--nprocs", str(nprocs)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(draw.uniform(0.3, lasts))
            process.kill()
        again = run(study, out, "--nprocs", str(nprocs))
        same += again.returncode == 0 and compared(out) == expected
        clean += not stale(out, study.work)
        shutil.rmtree(out)
    return f"{same} of {KILLS} identical, {clean} of {KILLS} without remains"


def stop(folder: Path, draw: random.Random) -> str:
    """Suspend a run while it writes, start another, let the first go on."""
    study = new_study(folder, participants=1)
    mine, others = ("--estimators", "lsq", "mle", "map"), ("--estimators", "lsq", "--bounds", "t1=0.2,4")
    assert run(study, folder / "alone", *mine).returncode == 0
    expected = compared(folder / "alone")
    whole = said = 0
    for number in range(STOPS):
        out = folder / f"out{number}"
        with subprocess.Popen(
            command(study, out, *mine), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            staging = out / ".bids_qmri" / "sub-01"
            while not any(staging.glob("*/fits/*/*")) and process.poll() is None:
                time.sleep(0.002)
            time.sleep(draw.uniform(0, 0.2))
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGSTOP)
            ended = process.poll() is not None
            other = run(study, out, *others)
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            first = process.wait()
        said += ended or (other.returncode == 75 and "in work by another run" in other.stderr)
        # A run that had ended already gives way to the next one, as it should.
        whole += first == 0 and (ended or compared(out) == expected)
        shutil.rmtree(out)
    return f"{whole} of {STOPS} whole, {said} of {STOPS} said so"


def rerun(folder: Path, draw: random.Random) -> str:
    """Run a complete study again, then with one input changed."""
    study = new_study(folder, participants=20, shape=(32, 32, 12))
    out = folder / "out"
    first, _, _ = cpu_and_memory(command(study, out))
    times = _times(out)
    second, _, text = cpu_and_memory(command(study, out))
    untouched = _times(out) == times
    label = f"sub-{draw.randrange(1, 21):02d}"
    sidecar = next((study.bids / label).rglob("*.json"))
    content = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**content, "ProtocolName": "another"}))
    run(study, out)
    after = _times(out)
    redone = {name.split("/")[0].removesuffix(".html") for name in after if after[name] != times.get(name)}
    return (
        f"{second:.2f} of {first:.1f} CPU-s ({second / first:.1%}), "
        f"outputs {'untouched' if untouched else 'CHANGED'}, {text.count('not fitted again')} said so; "
        f"changed {label}, redone {', '.join(sorted(redone))}"
    )


def _times(out: Path) -> dict[str, int]:
    files = [path for path in out.glob("sub-*") if path.is_file()]
    files += [path for path in out.glob("sub-*/**/*") if path.is_file()]
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in files}


def worker(folder: Path, draw: random.Random) -> str:
    """Kill one worker process of a batch of 8 fits."""
    study = new_study(folder, participants=8, shape=(64, 64, 24))
    found = []
    for number in range(WORKERS):
        out = folder / f"out{number}"
        started = time.monotonic()
        with subprocess.Popen(
            command(study, out, "--nprocs", "2", "--estimators", "ncde"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            victims: list[int] = []
            time.sleep(draw.uniform(3.0, 5.0))
            while process.poll() is None and not victims:
                # Workers are children of the server that forks them.
                victims = [pid for one in children_of(process.pid) for pid in children_of(one)]
            os.kill(draw.choice(victims), signal.SIGKILL)
            _, errors = process.communicate()
        seconds = time.monotonic() - started
        named = re.findall(r"ERROR: (sub-\d\d): .*killed \(signal 9\).* GB", errors)
        complete = len(list(out.glob("sub-*/anat/*desc-ncde_T1map.nii.gz")))
        found.append(f"{complete} complete, {len(named)} named, {seconds:.0f} s, code {process.returncode}")
    return "; ".join(found)


def group(folder: Path, draw: random.Random) -> str:
    """Make group tables while all participants are fitted again and again."""
    study = new_study(folder, participants=6)
    out = folder / "out"
    assert run(study, out).returncode == 0
    forced = command(study, out, "--force", "--nprocs", "1")
    background = subprocess.Popen(forced, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lost = refits = 0
    fewest = 6
    for _ in range(GROUPS):
        if background.poll() is not None:
            refits += 1
            background = subprocess.Popen(forced, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ended = run(study, out, level="group")
        rows = (out / "group_vfa.tsv").read_text().splitlines()[1:]
        there = {row.split("\t")[0] for row in rows}
        fewest = min(fewest, len(there))
        lost += sum(f"{label}:" not in ended.stderr for label in study.labels - there)
    background.wait()
    return (
        f"{lost} rows lost without a word in {GROUPS} calls, {refits} studies fitted meanwhile; "
        f"fewest participants {fewest} of 6"
    )


def full(folder: Path, draw: random.Random) -> str:
    """Run on disks that are too small, then enlarge them."""
    study = new_study(folder, participants=2)
    good = mended = 0
    for number in range(DISKS):
        size = 60 + 12 * number
        with small_disk(folder / f"disk{number}", size) as disk:
            first = run(study, disk.path / "out")
            lines = [line for line in first.stderr.splitlines() if line.startswith("ERROR")]
            complete = first.returncode == 0
            told = first.returncode in (1, 2) and any("No space left" in line for line in lines)
            half = list(disk.path.rglob("*.part"))
            good += "Traceback" not in first.stderr and (complete or told) and not half
            disk.enlarge()
            mended += run(study, disk.path / "out").returncode == 0
    return f"{good} of {DISKS} as wanted, {mended} of {DISKS} complete after"


def inline(folder: Path, draw: random.Random) -> str:
    """Time one client of a server that is idle, and of one with many silent connections."""
    idle, busy = [], []
    with inline_server() as port:
        exchange(port)  # the first one warms up
        for _ in range(5):
            idle.append(exchange(port))
            with ExitStack() as silent:
                for _ in range(50):
                    silent.enter_context(socket.create_connection(("127.0.0.1", port)))
                busy.append(exchange(port))
    middle = (sorted(times)[2] for times in (idle, busy))
    return "idle {:.2f} s, beside 50 silent ones {:.2f} s (medians), worst {:.2f} s".format(
        *middle, max(busy)
    )


def dry(folder: Path, draw: random.Random) -> str:
    """Plan one of very many participants."""
    one = new_study(folder / "one", participants=1)
    many = new_study(folder / "many", participants=1)
    source = many.bids / "sub-01"
    for number in range(10_000):
        target = many.bids / f"sub-{number + 2:05d}" / "anat"
        target.mkdir(parents=True)
        for file in (source / "anat").iterdir():
            os.link(file, target / file.name.replace("sub-01", f"sub-{number + 2:05d}"))
    pairs = []
    for _ in range(3):
        pairs.append(
            [
                cpu_and_memory(command(study, folder / "out", "--participant-label", label, "--dry-run"))
                for study, label in ((one, "01"), (many, "05000"))
            ]
        )
    ratio = sorted(b[0] / a[0] for a, b in pairs)[1]
    return f"{ratio:.2f} x, {max(b[1] for _, b in pairs):.0f} MB ({pairs[1][1][0]:.2f} CPU-s)"
