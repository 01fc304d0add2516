"""How runs end: exit code, last line, no tracebacks, logs; the workflow is replaced by what it may return."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synth

from bids_qmri.cli.config import filter_kinds
from bids_qmri.cli.exit import MEANING, ExitCode
from bids_qmri.cli.run import main
from bids_qmri.errors import InputError, InternalError, NoInputError, UsageError
from bids_qmri.reports import group
from bids_qmri.workflows import participant
from bids_qmri.workflows.outcome import ParticipantOutcome


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line on an empty dataset, without leaving anything in the environment."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    (tmp_path / "data").mkdir()

    def run(*more: str, levels: tuple[str, ...] = ("participant",)) -> int:
        folders = [str(tmp_path / "data"), str(tmp_path / "out"), *levels, "-w", str(tmp_path / "work")]
        return main([*folders, *more])

    return run


def returning(monkeypatch: pytest.MonkeyPatch, *statuses: str) -> None:
    outcomes = [ParticipantOutcome(f"{i:02d}", s, (f"why {s}",)) for i, s in enumerate(statuses, 1)]  # type: ignore[arg-type]
    monkeypatch.setattr(participant, "run_participants", lambda config: outcomes)


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(config: Any) -> Any:
        raise error

    monkeypatch.setattr(participant, "run_participants", fail)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (("ok", "ok"), ExitCode.OK),
        (("ok", "nothing"), ExitCode.OK),
        (("ok", "failed"), ExitCode.FAILED),
        (("nothing", "failed"), ExitCode.FAILED),
        (("nothing", "nothing"), ExitCode.NO_INPUT),
        ((), ExitCode.NO_INPUT),
    ],
)
def test_outcomes_decide_the_code(
    call: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    statuses: tuple[str, ...],
    code: ExitCode,
) -> None:
    returning(monkeypatch, *statuses)
    assert call() == code
    assert last_line(capsys) == f"bids_qmri: exit code {int(code)}: {MEANING[code]}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no such label"), 2),
        (NoInputError("nothing here"), 65),
        (InputError("is odd"), 1),
        (InternalError("lost"), 70),
        (ZeroDivisionError("division by zero"), 70),
    ],
)
def test_errors_end_in_one_line_and_their_code(
    call: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    raising(monkeypatch, error)
    assert call() == code
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith(f"bids_qmri: exit code {code}: ")
    assert sum(line.startswith("ERROR") for line in err.splitlines()) == 1
    assert "Traceback" not in err


def test_debug_shows_the_traceback(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, ZeroDivisionError("division by zero"))
    assert call("--debug") == 70
    assert "Traceback" in capsys.readouterr().err


def test_the_log_has_the_traceback_and_the_console_names_the_log(
    call: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    raising(monkeypatch, ZeroDivisionError("division by zero"))
    call()
    [log] = (tmp_path / "out" / "logs").glob("*.log")
    assert "Traceback" in log.read_text()
    assert str(log.parent) in capsys.readouterr().err


def test_every_message_of_every_participant_is_said(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    returning(monkeypatch, "ok", "nothing", "failed")
    call()
    lines = capsys.readouterr().err.splitlines()
    assert "WARNING: sub-01: why ok" in lines
    assert "WARNING: sub-02: why nothing" in lines
    assert "ERROR: sub-03: why failed" in lines
    assert "INFO: participants: 1 complete, 1 with nothing to fit, 1 failed" in lines


def test_usage_error_of_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/data"]) == 2
    out, err = capsys.readouterr()
    assert "OUTPUT_DIR" in err
    assert out == f"bids_qmri: exit code 2: {MEANING[ExitCode.USAGE]}\n"


def test_missing_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "out"), "participant"]) == 2
    assert not (tmp_path / "out").exists()
    assert "BIDS_DIR: is not a folder" in capsys.readouterr().err


def test_a_label_that_nobody_has_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root)
    assert main([str(root), str(tmp_path / "out"), "participant", "--participant-label", "10"]) == 2
    assert "there is no participant 10" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_made(
    call: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file where a folder should be")
    assert call() == 2
    assert "cannot be written" in capsys.readouterr().err


def test_options_are_written_and_repeat_the_run(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    returning(monkeypatch, "ok")
    call("--models", "vfa", "--t10", "1.4")
    [file] = (tmp_path / "out" / "logs").glob("*.toml")
    content = tomllib.loads(file.read_text())
    assert (content["models"], content["t10"]) == (["vfa"], 1.4)
    assert call("--config-file", str(file)) == 0


def test_clean_workdir_empties_only_our_own_folder(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    returning(monkeypatch, "ok")
    (tmp_path / "work" / "bids_qmri").mkdir(parents=True)
    (tmp_path / "work" / "bids_qmri" / "old").touch()
    (tmp_path / "work" / "others").touch()
    call("--clean-workdir")
    assert not (tmp_path / "work" / "bids_qmri" / "old").exists()
    assert (tmp_path / "work" / "others").exists()


def test_both_levels_run_in_order_and_the_first_failure_counts(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    outcome = ParticipantOutcome("01", "failed", ())
    monkeypatch.setattr(participant, "run_participants", lambda config: done.append("p") or [outcome])
    monkeypatch.setattr(group, "write_group", lambda *_: done.append("g"))
    assert call(levels=("group", "participant")) == ExitCode.FAILED
    assert done == ["p", "g"]


def test_group_level_reads_the_output_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: Callable[..., int]
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(group, "write_group", lambda folder, *_: seen.append(folder))
    (tmp_path / "data").rmdir()
    assert call(levels=("group",)) == ExitCode.OK
    assert seen == [tmp_path / "out"]


def test_dry_run_of_the_group_level_needs_no_raw_data(
    call: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").rmdir()
    assert call("--dry-run", levels=("group",)) == ExitCode.OK
    assert str(tmp_path / "out") in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_kinds_of_a_filter_file_that_nothing_reads_are_named(
    call: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    returning(monkeypatch, "ok")
    filters = tmp_path / "filters.json"
    filters.write_text('{"VFA": {"acquisition": "hires"}, "bold": {"task": "rest"}, "dwi": {"run": 1}}')
    assert call("--bids-filter-file", str(filters)) == ExitCode.OK
    [warning] = [line for line in capsys.readouterr().err.splitlines() if "is not used" in line]
    assert "WARNING" in warning
    assert "'VFA' is not used; the kinds are vfa, dwi, dce, irt1" in warning


def test_the_kinds_of_filters_are_those_that_are_read() -> None:
    package = Path(participant.__file__).parents[1]
    readers = [*(package / "bids").glob("*.py"), *(package / "techniques").rglob("*.py")]
    read = {kind for file in readers for kind in re.findall(r'filters\.get\("(\w+)"', file.read_text())}
    # Readers of several kinds are told which: the tests of these choose images by filters.
    told = {"irt1", "mese", "megre", "mpm", "mts"}
    assert read | told == set(filter_kinds())


@pytest.mark.parametrize("tokens", [("--resource-monitor",), ("--bids-database-dir", "db")])
def test_options_for_compatibility_say_that_they_do_nothing(
    call: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tokens: tuple[str, ...],
) -> None:
    returning(monkeypatch, "ok")
    assert call(*tokens) == ExitCode.OK
    assert f"INFO: {tokens[0]} is not used" in capsys.readouterr().err


def test_the_column_that_says_the_person_reaches_the_group_level(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    monkeypatch.setattr(group, "write_group", lambda folder, expected, column: seen.append(column))
    for tokens in ((), ("--person-column", "person")):
        assert call(*tokens, levels=("group",)) == ExitCode.OK
    assert seen == [None, "person"]


def test_group_without_results_is_no_input(call: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(folder: Path, *_: object) -> None:
        raise NoInputError("no metrics", file=folder)

    monkeypatch.setattr(group, "write_group", nothing)
    assert call(levels=("group",)) == ExitCode.NO_INPUT


def test_logging_is_left_as_it_was(call: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    returning(monkeypatch, "ok")
    logger = logging.getLogger("bids_qmri")
    before = (list(logger.handlers), logger.propagate, logger.level)
    call("-vv")
    assert (list(logger.handlers), logger.propagate, logger.level) == before


def test_reserved_codes_are_not_used() -> None:
    # 3 to 63 belong to the BIDS-App specification, 126 to 128 to the shell, those above to signals
    assert {int(code) for code in ExitCode} == {0, 1, 2, 65, 70, 75, 129, 130, 143}
    assert set(MEANING) == set(ExitCode)


HEAVY = (
    "numpy",
    "nipype",
    "nibabel",
    "bids",
    "dipy",
    "matplotlib",
    "scipy",
    "pandas",
    "torch",
    "onnxruntime",
)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_imports_nothing_heavy(flag: str) -> None:
    program = (
        "import sys\nfrom bids_qmri.cli.run import main\n"
        f"try:\n    main([{flag!r}])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_module_and_command_are_the_same() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bids_qmri", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("bids_qmri ")


def test_usage_error_of_a_process() -> None:
    result = subprocess.run([sys.executable, "-m", "bids_qmri"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
