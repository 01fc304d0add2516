"""A study on a cluster of SLURM with one node, made here: jobs are cancelled and killed, and run again.

Run ``python -m benchmarks.slurm`` as root where Debian's slurmctld, slurmd, slurm-client and munge are
installed; prints rows for benchmarks/results/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.reliability_study import Study, command, new_study
from bids_qmri.completion.lease import lease_path, read_lease

SEED, CANCELLED, KILLED = 20263, 5, 5
ARRAY = Path(__file__).parents[1] / "examples" / "slurm_array.sh"

CONFIG = """ClusterName=bench
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MaxArraySize=10001
SlurmctldPort={controller}
SlurmdPort={daemon}
DefMemPerCPU=1000
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with cluster(folder / "cluster") as environment:
            os.environ.update(environment)
            print(f"| array | {array(folder / 'array', args.participants)} |", flush=True)
            print(f"| plugin | {plugin(folder / 'plugin')} |", flush=True)
            print(f"| plugin, SIGTERM | {terminated(folder / 'terminated')} |", flush=True)
    return 0


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Run a cluster of this machine alone while it lasts; gives the environment of its clients."""
    for part in ("state", "spool"):
        (folder / part).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    ports = [_free_port() for _ in range(2)]
    config = folder / "slurm.conf"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 1000
    host = socket.gethostname().partition(".")[0]
    config.write_text(
        CONFIG.format(
            host=host,
            folder=folder,
            controller=ports[0],
            daemon=ports[1],
            cpus=os.cpu_count(),
            memory=memory,
        )
    )
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munged += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"]
    munged += [f"--seed-file={folder}/munged.seed"]
    with ExitStack() as running:
        for arguments in (
            munged,
            ["slurmctld", "-D", "-f", config],
            ["slurmd", "-D", "-f", config, "-N", host],
        ):
            process = subprocess.Popen(
                list(map(str, arguments)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            running.callback(process.wait)
            running.callback(process.terminate)
            time.sleep(2)
        environment = {"SLURM_CONF": str(config)}
        _wait(lambda: "idle" in _said(["sinfo", "-h", "-o", "%T"], environment), 60)
        yield environment


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _said(arguments: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        list(arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return done.stdout


def _wait(true: object, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        if time.monotonic() > until:
            raise TimeoutError("the cluster did not do what was awaited")
        time.sleep(0.5)


def states(study: Study, out: Path) -> Counter[str]:
    """Count how participants stand."""
    told = _said(
        [sys.executable, "-m", "bids_qmri.cli.status", str(out), "--bids-dir", str(study.bids), "--json"]
    )
    return Counter(json.loads(told)["counts"])


def array(folder: Path, participants: int) -> str:
    """Run a study as an array of jobs, cancel and kill some, submit again, make tables."""
    study, draw = new_study(folder, participants), random.Random(SEED)
    out = folder / "out"
    out.mkdir()
    os.environ |= {
        "BIDS_QMRI": f"{sys.executable} -m bids_qmri",
        "BIDS_QMRI_STATUS": f"{sys.executable} -m bids_qmri.cli.status",
        "TMPDIR": str(study.work),
    }
    study.work.mkdir(exist_ok=True)
    found = [f"before: {_counted(states(study, out))}"]
    submit = ["bash", str(ARRAY), str(study.bids), str(out), "--estimators", "lsq"]
    job = _said(submit).split()[-1]
    victims = draw.sample(range(participants // 4, participants), CANCELLED + KILLED)
    _wait(lambda: states(study, out)["complete"] > participants // 8, 900)
    found.append(f"at work: {_counted(states(study, out))}")
    subprocess.run(["scancel", *(f"{job}_{one}" for one in victims[:CANCELLED])], check=True)
    killed = 0
    while _said(["squeue", "-h", "-r", "-o", "%i"]).split():
        for label in _in_work(out) if killed < KILLED else []:
            pid = read_lease(lease_path(out, label.removeprefix("sub-"))).get("Pid")
            if pid and killed < KILLED:
                time.sleep(draw.uniform(0, 0.05))  # they take half a second
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                    break
        time.sleep(draw.uniform(1, 3))
    found.append(f"then: {_counted(states(study, out))} ({CANCELLED} cancelled, {killed} killed)")
    again = _said(submit).split()
    _wait(lambda: not _said(["squeue", "-h", "-o", "%i"]).split(), 600)
    found.append(f"submitted again {again[0]}: {_counted(states(study, out))}")
    subprocess.run(command(study, out, level="group"), check=True, capture_output=True)
    rows = (out / "group_vfa.tsv").read_text().splitlines()[1:]
    fits = Counter(path.parent.parent.name for path in out.glob("sub-*/anat/*desc-lsq_T1map.nii.gz"))
    found.append(f"{len(rows)} rows, {len(fits)} participants with maps, {max(fits.values())} map each")
    found.append(_said(submit).split("\n")[0].partition(";")[0])
    return "; ".join(found)


def _in_work(out: Path) -> list[str]:
    return sorted(path.stem for path in (out / ".bids_qmri").glob("sub-*.json"))


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "nobody"


def _with_plugin(folder: Path, participants: int) -> tuple[Study, Path, list[str]]:
    study, out = new_study(folder, participants, shape=(64, 64, 24)), folder / "out"
    file = folder / "plugin.yaml"
    file.write_text("plugin: SLURM\nplugin_args: {sbatch_args: '--mem=1000'}\n")
    return study, out, command(study, out, "--use-plugin", str(file), "--estimators", "ncde")


def plugin(folder: Path) -> str:
    """Cancel one node of a run by nipype's plugin."""
    _, out, arguments = _with_plugin(folder, 6)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        _wait(lambda: len(_said(["squeue", "-h", "-o", "%i"]).split()) >= 4, 120)
        subprocess.run(["scancel", max(_said(["squeue", "-h", "-o", "%i"]).split(), key=int)], check=True)
        _, errors = run.communicate(timeout=600)
    failed = [line for line in errors.splitlines() if line.startswith("ERROR: sub-")]
    made = len(list(out.glob("sub-*/anat/*desc-ncde_T1map.nii.gz")))
    return f"1 node cancelled: {len(failed)} failed, {made} complete of 6, code {run.returncode}"


def terminated(folder: Path) -> str:
    """End a run by nipype's plugin by SIGTERM."""
    _, out, arguments = _with_plugin(folder, 6)
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        _wait(lambda: len(_said(["squeue", "-h", "-o", "%i"]).split()) >= 4, 120)
        run.terminate()
        code = run.wait(60)
    time.sleep(3)
    left = len(_said(["squeue", "-h", "-t", "PD,R", "-o", "%i"]).split())
    return f"code {code}, {left} jobs left, {len(_in_work(out))} leases left"


if __name__ == "__main__":
    sys.exit(main())
