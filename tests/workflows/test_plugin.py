import os
import signal
import threading
import time

import pytest
from nipype import Node, Workflow
from nipype.interfaces.utility import Function

from bids_qmri.workflows.plugin import WatchedMultiProc, postponed_signals


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


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


def test_a_signal_waits_until_a_job_is_submitted():
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    # Another thread, to which the system may hand the signal whatever this one does with it.
    beside = threading.Thread(target=time.sleep, args=(0.3,))
    beside.start()
    try:
        with postponed_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            assert came == []
        time.sleep(0.05)
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
        beside.join()
