"""What is set before libraries are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import synth

from bids_qmri.cli.environment import THREAD_VARIABLES, environment

WORK = Path("/scratch")


def test_nobody_is_contacted_and_libraries_start_no_threads(tmp_path: Path) -> None:
    changes = environment({"HOME": str(tmp_path), "LOGNAME": "me"}, WORK)
    assert changes["NO_ET"] == changes["NIPYPE_NO_ET"] == changes["ORT_DISABLE_TELEMETRY"] == "1"
    assert {changes[name] for name in THREAD_VARIABLES} == {"1"}


def test_a_usable_home_and_a_name_are_left_alone(tmp_path: Path) -> None:
    changes = environment({"HOME": str(tmp_path), "LOGNAME": "me"}, WORK)
    assert not {"HOME", "LOGNAME", "MPLCONFIGDIR"} & set(changes)


@pytest.mark.parametrize("home", [None, "", "/nowhere"])
def test_without_a_home_caches_go_to_the_work_directory(home: str | None) -> None:
    changes = environment({} if home is None else {"HOME": home}, WORK)
    assert changes["HOME"] == "/scratch/home"
    assert all(changes[name].startswith("/scratch/home") for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME"))


def test_the_user_always_has_a_name(tmp_path: Path) -> None:
    assert environment({"HOME": str(tmp_path), "USER": "me"}, WORK)["LOGNAME"] == "me"
    assert environment({"HOME": str(tmp_path)}, WORK)["LOGNAME"] == "bids_qmri"


def test_libraries_import_without_a_home(tmp_path: Path) -> None:
    variables = {"PATH": os.environ["PATH"]} | environment({}, tmp_path)
    program = "import dipy.reconst.dti, nipype.pipeline.engine"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=variables, check=True)


def test_threads_are_limited_before_numpy_is_imported(tmp_path: Path) -> None:
    """Libraries read the limit once: later it is too late, and one process takes all processors."""
    synth.new_dataset(tmp_path / "bids")
    code = """
import os, sys
import bids_qmri.cli.run as run
original = run.make_config
def checked(args):
    print("numpy" in sys.modules, os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"])
    return original(args)
run.make_config = checked
run.main(sys.argv[1:])
"""
    arguments = [
        str(tmp_path / "bids"),
        str(tmp_path / "out"),
        "participant",
        "--dry-run",
        "--omp-nthreads",
        "2",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[0] == "False 1 1"
