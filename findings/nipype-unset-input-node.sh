#!/usr/bin/env bash
# nipype: a field of an input node that nobody set replaces the default of the node behind it, by nothing.
#
# Guess before it was run: `traits.Str("lsq", usedefault=True)` behind an unset field of an IdentityInterface
# keeps its default, as an option that is not given does everywhere else.
# Seen: with nipype 1.11.0 the interface runs with `Undefined` in place of its default, although the very same
# interface has the default where the field is not connected. No warning; code that compares the value, or
# looks it up, fails far from the cause, or takes another branch.
# Whom it hurts: whoever puts a workflow with an input node into another pipeline (the pattern of niworkflows
# and fMRIPrep) and leaves an optional input unset.
# What helps: give the fields of the input node the defaults of the interfaces behind it, as
# `bids_qmri.workflows.builders.init_model_wf` does.
# Source: nipype 1.11.0, nipype/pipeline/engine/nodes.py and utils.py (the inputs of a node are set from its
# connections before it runs); https://nipype.readthedocs.io
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet "nipype==1.11.0"
cat > "$folder/estimating.py" <<'PYTHON'
from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, isdefined, traits


class EstimateInputSpec(BaseInterfaceInputSpec):
    estimator = traits.Str("lsq", usedefault=True)


class EstimateOutputSpec(TraitedSpec):
    used = traits.Str()


class Estimate(SimpleInterface):
    input_spec = EstimateInputSpec
    output_spec = EstimateOutputSpec

    def _run_interface(self, runtime):
        value = self.inputs.estimator
        self._results["used"] = value if isdefined(value) else "nothing"
        return runtime
PYTHON
cat > "$folder/run.py" <<'PYTHON'
import sys

import nipype
from estimating import Estimate
from nipype import IdentityInterface, Node, Workflow

nipype.logging.getLogger("nipype.workflow").setLevel("ERROR")


def used(connected, value=None):
    inputnode = Node(IdentityInterface(fields=["estimator"]), name="inputnode")
    if value is not None:
        inputnode.inputs.estimator = value
    fit = Node(Estimate(), name="fit")
    workflow = Workflow(name=f"w{connected}{value}", base_dir=sys.argv[1])
    workflow.add_nodes([fit])
    if connected:
        workflow.connect(inputnode, "estimator", fit, "estimator")
    [ran] = [node for node in workflow.run().nodes() if node.name == "fit"]
    return ran.result.outputs.used


print(f"nipype {nipype.__version__}, Python {sys.version.split()[0]}")
alone, unset, given = used(False), used(True), used(True, "map")
print(f"not connected: {alone}; connected to a field that nobody set: {unset}; to one that is set: {given}")
sys.exit((alone, unset, given) != ("lsq", "nothing", "map"))
PYTHON
cd "$folder"
"$folder/env/bin/python" run.py "$folder/work"
