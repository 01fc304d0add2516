"""Participant level: plan, run the fits as a nipype workflow, write the pages, say how everybody ended."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any, Literal

from bids_qmri import __version__
from bids_qmri.bids.description import write_dataset_description
from bids_qmri.errors import QmriError
from bids_qmri.interfaces.job import FitJob, Outcome
from bids_qmri.reports.methods import write_citation
from bids_qmri.reports.subject import write_subject_page
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.plan import Plan, make_plan, select_participants

log = logging.getLogger("bids_qmri.workflow")

NODE_MEMORY_GB = 1.2
"""What one fit node may need: measured on 102 volumes of 140 x 140 x 80, see benchmarks/results."""


@dataclass(frozen=True)
class ParticipantOutcome:
    """What became of one participant.

    Parameters
    ----------
    participant
        Label without ``sub-``.
    status
        ``"ok"``, ``"failed"`` (something that should have worked did not) or ``"nothing"`` (nothing to fit).
    messages
        One line per fault, or why there was nothing.
    crashed
        True if the software rather than the input is at fault.
    """

    participant: str
    status: Literal["ok", "failed", "nothing"]
    messages: tuple[str, ...] = ()
    crashed: bool = False


def run_participants(config: RunConfig) -> list[ParticipantOutcome]:
    """Fit everything that can be fitted, and write one page per participant.

    Parameters
    ----------
    config
        Choices of the run.

    Returns
    -------
    list of ParticipantOutcome
        In the order of the dataset.
    """
    labels = select_participants(config)
    write_dataset_description(config.output_dir, config.bids_dir, __version__, config.derivatives)
    scratch = replace(config, work_dir=config.work_dir / config.run_id)
    plans: dict[str, Plan | QmriError] = {label: _plan(scratch, label) for label in labels}
    jobs = [job for plan in plans.values() if isinstance(plan, Plan) for job in plan.jobs]
    if jobs:
        write_citation(config.output_dir, [(job.model, job.label) for job in jobs])
    if config.boilerplate_only:
        return [_end(label, plans[label], ()) for label in labels]
    outcomes: dict[str, list[Outcome]] = {label: [] for label in labels}
    if not config.reports_only:
        for outcome in run_jobs(scratch, jobs):
            outcomes[outcome.participant].append(outcome)
    ends = [_with_page(config, _end(label, plans[label], outcomes[label])) for label in labels]
    shutil.rmtree(scratch.work_dir, ignore_errors=True)
    return ends


def _with_page(config: RunConfig, end: ParticipantOutcome) -> ParticipantOutcome:
    """Write the page of a participant; one that cannot be written must not cost the others theirs."""
    try:
        write_subject_page(config.output_dir, end.participant, problems=end.messages)
    except Exception as error:
        if config.debug:
            raise
        log.debug("page of sub-%s", end.participant, exc_info=True)
        line = f"the page could not be written ({type(error).__name__}: {error}); --debug shows where"
        return replace(end, status="failed", messages=(*end.messages, line), crashed=True)
    return end


def _plan(config: RunConfig, label: str) -> Plan | QmriError:
    try:
        return make_plan(config, label)
    except QmriError as error:
        if config.debug:
            raise
        return error


def run_jobs(config: RunConfig, jobs: Sequence[FitJob]) -> list[Outcome]:
    """Run fit jobs as nodes of a workflow; a job that fails leaves the others alone.

    Parameters
    ----------
    config
        Choices of the run; `work_dir` belongs to this run alone.
    jobs
        What to fit.
    """
    if not jobs:
        return []
    # Here, so that --dry-run and the group level do without nipype.
    from bids_qmri.interfaces.nodes import read_outcome

    workflow = init_fit_wf(config, jobs)
    if config.write_graph:
        # The text alone: a picture would need graphviz on every machine.
        workflow.write_graph(dotfilename=str(config.log_dir / "graph.dot"), graph2use="exec", format="dot")
    why = "not run"
    try:
        workflow.run(**_plugin(config, len(jobs)))
    except Exception as error:
        if config.debug:
            raise
        log.debug("the workflow ended early", exc_info=True)
        why = _why_early(error, config)
    return [read_outcome(job, without=why) for job in jobs]


def _why_early(error: Exception, config: RunConfig) -> str:
    """Say what kept jobs from leaving a record; of several errors nipype names the first as the cause."""
    if isinstance(error, BrokenProcessPool) or isinstance(error.__cause__, BrokenProcessPool):
        return (
            "its process was ended from outside, most likely for lack of memory; "
            "way out: fewer --nprocs, or more memory for the run"
        )
    if config.stop_on_first_crash:
        return "not run, after the failure of another"
    return f"the workflow ended early ({type(error).__name__}: {error}); --debug shows where"


def init_fit_wf(config: RunConfig, jobs: Sequence[FitJob]) -> Any:
    """Build the workflow of a run: one independent node per acquisition, model and estimator.

    Parameters
    ----------
    config
        Choices of the run.
    jobs
        What to fit.
    """
    from nipype import Node, Workflow
    from nipype import config as nipype_config

    from bids_qmri.interfaces.nodes import Fit

    nipype_config.update_config(
        {
            "execution": {
                "crashdump_dir": str(config.log_dir),
                "crashfile_format": "txt",
                "poll_sleep_duration": "0.05",
                "check_version": "false",
                "get_linked_libs": "false",
                "stop_on_first_crash": str(config.stop_on_first_crash).lower(),
            }
        }
    )
    workflow = Workflow(name="fit", base_dir=str(config.work_dir))
    workflow.__desc__ = "One node per acquisition, model and estimator."
    for job in jobs:
        name = re.sub(r"\W", "_", job.name)
        node = Node(Fit(job=job), name=name, mem_gb=NODE_MEMORY_GB, n_procs=config.omp_nthreads)
        # A cached node is no written map: outputs lie outside the work directory, so every run writes them.
        node.overwrite = True
        workflow.add_nodes([node])
    return workflow


def _plugin(config: RunConfig, n_jobs: int) -> dict[str, Any]:
    """Return how nipype runs the nodes: as asked, else here if one at a time, else in a watched pool."""
    if config.plugin:
        return dict(config.plugin)
    if min(config.nprocs, n_jobs) == 1:
        return {"plugin": "Linear"}
    from bids_qmri.workflows.plugin import WatchedMultiProc

    resources: dict[str, float] = {"n_procs": config.nprocs, "raise_insufficient": False}
    if config.memory_gb is not None:
        resources["memory_gb"] = config.memory_gb
    return {"plugin": WatchedMultiProc(plugin_args=resources)}


def _end(label: str, plan: Plan | QmriError, outcomes: Sequence[Outcome]) -> ParticipantOutcome:
    """Join what the plan and the jobs say about one participant."""
    if not isinstance(plan, Plan):
        return ParticipantOutcome(label, "failed", (str(plan),))
    faults = [str(item.error) for item in plan.unusable if item.fault]
    faults += [outcome.error for outcome in outcomes if outcome.error]
    remarks = [f"{item.label}: {item.error}" for item in plan.unusable if not item.fault]
    messages = tuple(dict.fromkeys(faults + remarks))
    if faults:
        return ParticipantOutcome(label, "failed", messages, any(outcome.crashed for outcome in outcomes))
    if not plan.jobs:
        return ParticipantOutcome(label, "nothing", messages or ("nothing that quantitative models know",))
    return ParticipantOutcome(label, "ok", messages)
