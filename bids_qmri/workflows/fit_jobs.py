"""Run acquisitions as a nipype workflow, a node each: for ``--use-plugin`` and ``--write-graph``."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from bids_qmri.interfaces.job import AcquisitionJob
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.memory import planned_memory_gb

log = logging.getLogger("bids_qmri.workflow")

AFTER_FAILURE = "not run, after the failure of another"


def run_workflow(config: RunConfig, jobs: Sequence[AcquisitionJob]) -> str:
    """Run fits as nodes of a workflow; each leaves a record of how it ended.

    Parameters
    ----------
    config
        Choices of the run; `work_dir` belongs to this run alone.
    jobs
        What to fit.

    Returns
    -------
    str
        Why some left no record.
    """
    if not jobs:
        return ""
    workflow = init_fit_wf(config, jobs)
    if config.write_graph:
        # The text alone: a picture would need graphviz on every machine.
        workflow.write_graph(dotfilename=str(config.log_dir / "graph.dot"), graph2use="exec", format="dot")
    try:
        workflow.run(**_plugin(config))
    except Exception as error:
        if config.debug:
            raise
        log.debug("the workflow ended early", exc_info=True)
        return _why_early(error, config)
    return "not run"


def _why_early(error: Exception, config: RunConfig) -> str:
    """Say what kept jobs from leaving a record; of several errors nipype names the first as the cause."""
    if isinstance(error, BrokenProcessPool) or isinstance(error.__cause__, BrokenProcessPool):
        return (
            "its process was ended from outside, most likely for lack of memory; "
            "fix: fewer processes, or more memory for the run"
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
        node = Node(
            FitAcquisition(job=job), name=name, mem_gb=planned_memory_gb(job), n_procs=job.fits[0].threads
        )
        # A cached node is no written map: outputs lie outside the work directory, so every run writes them.
        node.overwrite = True
        workflow.add_nodes([node])
    return workflow


def _plugin(config: RunConfig) -> dict[str, Any]:
    """Return how nipype runs the nodes: as asked, in a watched pool where that is its own, else here."""
    if not config.plugin:
        return {"plugin": "Linear"}
    from bids_qmri.workflows.plugin import CANCEL, WatchedMultiProc, batch_plugin

    name, more = config.plugin["plugin"], dict(config.plugin.get("plugin_args") or {})
    if name in CANCEL:
        return {"plugin": batch_plugin(name, more)}
    if name != "MultiProc":
        return dict(config.plugin)
    resources: dict[str, Any] = {"n_procs": config.nprocs, "raise_insufficient": False}
    if config.memory_gb is not None:
        resources["memory_gb"] = config.memory_gb
    return {"plugin": WatchedMultiProc(plugin_args=resources | more)}
