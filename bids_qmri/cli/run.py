"""The command ``bids_qmri``: arguments in, exit code out; the one place where errors end.

Imports of anything heavier than argparse happen inside functions, after the environment is set.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from bids_qmri.cli.config import FMRIPREP_KINDS, filter_kinds, make_config, to_toml
from bids_qmri.cli.environment import ONE_THREAD, environment
from bids_qmri.cli.exit import ExitCode, finish
from bids_qmri.cli.interrupt import end_on_signals
from bids_qmri.cli.logs import LOGGER, console_log, file_log, keep_newest
from bids_qmri.cli.printing import print_text
from bids_qmri.cli.reading import parse
from bids_qmri.ending import last_acts
from bids_qmri.errors import InputError, NoInputError, QmriError, UsageError, of_machine
from bids_qmri.workflows.config import RunConfig

if TYPE_CHECKING:
    from bids_qmri.workflows.outcome import ParticipantOutcome


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, whose meaning is the last line printed.

    Parameters
    ----------
    argv
        Arguments without the program name; None takes those of the process.
    """
    try:
        args = parse(argv)
    except UsageError as error:
        with console_log():
            LOGGER.error(error)
        return finish(ExitCode.USAGE)
    with ExitStack() as logs:
        logs.enter_context(console_log(args.verbose, tracebacks=args.debug))
        logs.enter_context(end_on_signals(partial(_interrupted, args)))
        code = _guarded(args, logs)
    return finish(code)


def _interrupted(args: argparse.Namespace, code: int) -> int:
    last_acts()
    LOGGER.error("interrupted; what is in %s with its final name is complete", args.output_dir)
    return finish(code)


def _guarded(args: argparse.Namespace, logs: ExitStack) -> int:
    """Run, and turn whatever is raised into one line and an exit code."""
    log_file = args.output_dir / "logs"
    try:
        return _run(args, logs)
    except QmriError as error:
        LOGGER.error(error, exc_info=args.debug)
        return error.exit_code
    except Exception as error:  # the last line of defence: the traceback goes to the log
        if known := of_machine(error):
            LOGGER.error(known, exc_info=args.debug)
            return known.exit_code
        what = " ".join(f"{type(error).__name__}: {error}".split())
        LOGGER.error("internal error: %s; the log in %s has the details", what, log_file, exc_info=True)
        return ExitCode.INTERNAL


def _run(args: argparse.Namespace, logs: ExitStack) -> int:
    # Before anything imports numpy, as the configuration does.
    os.environ.update(ONE_THREAD)
    config = make_config(args)
    os.environ.update(environment(os.environ, config.work_dir))
    if not config.dry_run:
        _require_labels(config)
        _open_folders(args, config, logs)
        from bids_qmri import __version__

        LOGGER.info("bids_qmri %s, run %s", __version__, config.run_id)
    _say_what_is_not_used(args, config)
    if config.dry_run:
        return _print_plans(config)
    started = time.monotonic()
    codes = [_run_level(level, config) for level in config.levels]
    _say_where(config, time.monotonic() - started)
    return next((code for code in codes if code != ExitCode.OK), ExitCode.OK)


def _require_labels(config: RunConfig) -> None:
    """Refuse a label that nobody has before a folder of its log is made."""
    if config.participants and "participant" in config.levels:
        from bids_qmri.bids.dataset import participants

        participants(config.bids_dir, config.participants)


def _say_where(config: RunConfig, seconds: float) -> None:
    """Say how long it took, and which page to open."""
    from bids_qmri.workflows.participant import duration

    names = [f"sub-{label}.html" for label in config.participants if len(config.participants) == 1]
    pages = [config.output_dir / name for name in (*names, "index.html")]
    page = next((page for page in pages if page.is_file()), config.output_dir)
    LOGGER.info("took %s; open %s", duration(seconds), page)


def _say_what_is_not_used(args: argparse.Namespace, config: RunConfig) -> None:
    if args.bids_database_dir is not None:
        LOGGER.info("--bids-database-dir is not used: every participant is indexed by itself")
    if args.resource_monitor:
        LOGGER.info("--resource-monitor is not used: no resources are recorded")
    kinds = filter_kinds() if config.read.filters else ()
    for kind in config.read.filters:
        if kind in FMRIPREP_KINDS:
            LOGGER.debug("--bids-filter-file: %r is not used, nothing of that kind is read", kind)
        elif kind not in kinds:
            LOGGER.warning("--bids-filter-file: %r is not used; the kinds are %s", kind, ", ".join(kinds))


def _print_plans(config: RunConfig) -> int:
    """Print what would be done; return the code that the run would end with as far as a plan can tell."""
    code = ExitCode.OK
    if "participant" in config.levels:
        from bids_qmri.workflows.plan import describe, make_plan
        from bids_qmri.workflows.selection import select_participants

        failed = anything = False
        for participant in select_participants(config):
            try:
                plan = make_plan(config, participant)
            except InputError as error:
                print_text(f"sub-{participant}\n  cannot run\n    {error}\n")
                failed = True
                continue
            print_text(f"{describe(plan)}\n")
            failed |= any(item.fault for item in plan.unusable)
            anything |= bool(plan.jobs)
        if failed or not anything:
            code = ExitCode.FAILED if failed else ExitCode.NO_INPUT
    if "group" in config.levels:
        print_text(f"group\n  tables and pages of what lies in {config.output_dir}\n")
    return code


def _open_folders(args: argparse.Namespace, config: RunConfig, logs: ExitStack) -> None:
    """Make the folders of the run, and start its log with the options that repeat it."""
    from bids_qmri.completion.scratch import clear_scratch

    if args.clean_workdir:
        clear_scratch(config.work_dir, everything=True)
    stem = config.log_dir / f"bids_qmri_{config.run_id}"
    try:
        for folder in (config.work_dir, config.log_dir):
            folder.mkdir(parents=True, exist_ok=True)
        keep_newest(config.log_dir, "bids_qmri_*")
        stem.with_suffix(".toml").write_text(to_toml(args), encoding="utf-8")
        logs.enter_context(file_log(stem.with_suffix(".log")))
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})",
            file=error.filename,
            needed="OUTPUT_DIR and --work-dir where files can be written",
        ) from error


def _run_level(level: str, config: RunConfig) -> int:
    if level == "participant":
        from bids_qmri.workflows.participant import run_participants, write_about

        ends = run_participants(config)
        code = report_outcomes(ends)
        # Last, so that whatever becomes of it everybody was told how they ended.
        write_about(config, ends)
        return code
    from bids_qmri.bids.participants import copy_participants
    from bids_qmri.reports.group import write_group

    copy_participants(config.bids_dir, config.output_dir)
    try:
        expected = _expected(config)
        write_group(config.output_dir, expected, config.person_column)
    except NoInputError as error:
        # after a participant level without results this is no second failure
        LOGGER.error(error)
        return error.exit_code
    return ExitCode.OK


def _expected(config: RunConfig) -> list[str]:
    """Return who should be in the tables: all of the dataset, if it is there, but who is left out."""
    from bids_qmri.bids.dataset import participants

    try:
        labels = participants(config.bids_dir, config.participants)
    except UsageError:
        return list(config.participants)
    if not config.participants:
        _name_who_is_gone(config, labels)
    return [label for label in labels if label not in config.exclude_participants]


def _name_who_is_gone(config: RunConfig, labels: Sequence[str]) -> None:
    """Say whose results are in the output folder though the dataset has the participant no more."""
    from bids_qmri.completion.standing import labels_of

    for label in sorted(set(labels_of(config.output_dir)) - set(labels)):
        LOGGER.warning(
            "sub-%s has results and is in the tables, but is not in %s; fix: remove %s* if it was withdrawn",
            label,
            config.bids_dir,
            config.output_dir / f"sub-{label}",
        )


def report_outcomes(outcomes: Sequence[ParticipantOutcome]) -> ExitCode:
    """Say what happened to whom, and decide the exit code of the participant level.

    One failure is enough for FAILED, a participant in work elsewhere for BUSY; participants without anything
    to fit are no failure unless they are all.
    """
    say = {"ok": LOGGER.warning, "nothing": LOGGER.warning, "busy": LOGGER.error, "failed": LOGGER.error}
    for outcome in outcomes:
        for message in outcome.messages:
            say[outcome.status]("sub-%s: %s", outcome.participant, message)
    count = {status: sum(outcome.status == status for outcome in outcomes) for status in say}
    more = {
        "in work by another run": count["busy"],
        "of all complete before and unchanged": sum(outcome.unchanged for outcome in outcomes),
    }
    LOGGER.info(
        "participants: %d complete, %d with nothing to fit, %d failed%s",
        count["ok"],
        count["nothing"],
        count["failed"],
        "".join(f", {number} {words}" for words, number in more.items() if number),
    )
    if count["failed"]:
        return ExitCode.FAILED
    if count["busy"]:
        return ExitCode.BUSY
    return ExitCode.OK if count["ok"] else ExitCode.NO_INPUT
