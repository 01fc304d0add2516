"""Run the fits of acquisitions: here if one process does all, else as a nipype workflow, a node each."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from bids_qmri.interfaces.job import AcquisitionJob, FitJob, Outcome
from bids_qmri.interfaces.outcomes import StoppedError, read_outcome, record_file, run_and_record
from bids_qmri.workflows.config import RunConfig

log = logging.getLogger("bids_qmri.workflow")

NODE_MEMORY_GB = 1.2
"""What one fit node may need; 102 volumes of 140 x 140 x 80 took 0.3 GB, see benchmarks/results."""

AFTER_FAILURE = "not run, after the failure of another"


def run_jobs(config: RunConfig, jobs: Sequence[AcquisitionJob]) -> list[Outcome]:
    """Run the fits of acquisitions; one that fails leaves the others alone.

    Parameters
    ----------
    config
        Choices of the run; `work_dir` belongs to this run alone.
    jobs
        What to fit.
    """
    if not jobs:
        return []
    for job in jobs:
        for fit in job.fits:
            record_file(fit).unlink(missing_ok=True)
    alone = not config.plugin and min(config.nprocs, len(jobs)) == 1 and not config.write_graph
    why = _run_here(jobs) if alone else _run_workflow(config, jobs)
    return [read_outcome(fit, without=why) for job in jobs for fit in job.fits]


def _run_here(jobs: Sequence[AcquisitionJob]) -> str:
    """Run one job after the other, without nipype; say why some were not run."""
    try:
        for job in jobs:
            run_and_record(job)
    except StoppedError:
        return AFTER_FAILURE
    return "not run"


def _run_workflow(config: RunConfig, jobs: Sequence[AcquisitionJob]) -> str:
    """Run jobs as nodes of a workflow; say why some left no record."""
    workflow = init_fit_wf(config, jobs)
    if config.write_graph:
        # The text alone: a picture would need graphviz on every machine.
        workflow.write_graph(dotfilename=str(config.log_dir / "graph.dot"), graph2use="exec", format="dot")
    try:
        workflow.run(**_plugin(config, len(jobs)))
    except Exception as error:
        if config.debug:
            raise
        log.debug("the workflow ended early", exc_info=True)
        return _why_early(error, config)
    return "not run"


def not_run(job: FitJob) -> Outcome:
    """Return the outcome of a job that was left alone because another failed."""
    return Outcome(job.participant, job.name, error=f"{job.name}: {AFTER_FAILURE}.")


def _why_early(error: Exception, config: RunConfig) -> str:
    """Say what kept jobs from leaving a record; of several errors nipype names the first as the cause."""
    if isinstance(error, BrokenProcessPool) or isinstance(error.__cause__, BrokenProcessPool):
        return (
            "its process was ended from outside, most likely for lack of memory; "
            "fix: fewer --nprocs, or more memory for the run"
        )
    if config.stop_on_first_crash:
        return AFTER_FAILURE
    return f"the workflow ended early ({type(error).__name__}: {error}); --debug shows where"


def init_fit_wf(config: RunConfig, jobs: Sequence[AcquisitionJob]) -> Any:
    """Build the workflow of a run: one independent node per acquisition.

    Parameters
    ----------
    config
        Choices of the run.
    jobs
        What to fit.
    """
    from nipype import Node, Workflow
    from nipype import config as nipype_config

    from bids_qmri.interfaces.nodes import FitAcquisition

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
    for job in jobs:
        name = re.sub(r"\W", "_", job.name)
        node = Node(FitAcquisition(job=job), name=name, mem_gb=NODE_MEMORY_GB, n_procs=config.omp_nthreads)
        # A cached node is no written map: outputs lie outside the work directory, so every run writes them.
        node.overwrite = True
        workflow.add_nodes([node])
    return workflow


def _plugin(config: RunConfig, n_jobs: int) -> dict[str, Any]:
    """Return how nipype runs the nodes: as asked, else here if one at a time, else in a watched pool."""
    if config.plugin and config.plugin["plugin"] != "MultiProc":
        return dict(config.plugin)
    if not config.plugin and min(config.nprocs, n_jobs) == 1:
        return {"plugin": "Linear"}
    from bids_qmri.workflows.plugin import WatchedMultiProc

    resources: dict[str, Any] = {"n_procs": config.nprocs, "raise_insufficient": False}
    if config.memory_gb is not None:
        resources["memory_gb"] = config.memory_gb
    return {"plugin": WatchedMultiProc(plugin_args=resources | dict(config.plugin.get("plugin_args", {})))}
