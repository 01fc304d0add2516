import pytest
from nipype import Node, Workflow
from nipype.interfaces.utility import Function

from bids_qmri.workflows.plugin import WatchedMultiProc


def _die():
    os.kill(os.getpid(), signal.SIGKILL)  # noqa: F821 - nipype runs the source with imports of its own


def _live(n):
    return n + 1


@pytest.mark.filterwarnings("ignore")
def test_a_killed_process_ends_the_run_instead_of_hanging_it(tmp_path):
    workflow = Workflow("killed", base_dir=str(tmp_path))
    dies = Function(function=_die, imports=["import os, signal"])
    lives = Node(Function(function=_live, input_names=["n"], output_names=["m"]), name="lives")
    lives.inputs.n = 1
    workflow.add_nodes([Node(dies, name="dies"), lives])
    workflow.config["execution"] = {"poll_sleep_duration": "0.05", "crashdump_dir": str(tmp_path)}
    with pytest.raises(RuntimeError, match=r"terminated abruptly|raised"):
        workflow.run(plugin=WatchedMultiProc(plugin_args={"n_procs": 2, "raise_insufficient": False}))
