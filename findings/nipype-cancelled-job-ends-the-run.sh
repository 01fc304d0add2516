#!/usr/bin/env bash
# nipype on a cluster: one job that is cancelled ends the whole run, nodes that do not depend on it included.
#
# Guess before it was run: with stop_on_first_crash false (the default), a node whose job was cancelled counts as
# failed, what depends on it is left out, and the other nodes run to their end, as with MultiProc.
# Seen: with nipype 1.11.0 the SLURM plugin finds no result of the cancelled job and hands its report of a crash
# a text where that function adds a list: TypeError. The submitting process dies at once. Jobs that wait or run
# on the cluster go on without it, nodes that were not submitted never are, and no crash file is written.
# Whom it hurts: whoever runs a nipype workflow with one node per participant through SLURM, PBS, SGE or LSF (they
# share that code), as soon as one job is cancelled, runs into its time limit, or is killed for lack of memory.
# What helps: a plugin of one's own that replaces `_report_crash`, as `bids_qmri.workflows.plugin.batch_plugin`
# does, or one job of the whole program per participant.
# Source: nipype 1.11.0, nipype/pipeline/plugins/base.py (_clean_queue) and tools.py (report_crash).
# No cluster is needed: the commands of SLURM that are run here are shell scripts that accept a job and forget
# one, which is what nipype sees of a job that was cancelled.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet "nipype==1.11.0"
mkdir "$folder/bin"
cat > "$folder/bin/sbatch" <<'SH'
#!/usr/bin/env bash
# The first job is lost, as if it were cancelled; the others run.
count=$(($(cat "$JOBS" 2>/dev/null || echo 0) + 1))
echo "$count" > "$JOBS"
[ "$count" -eq 1 ] || bash "${!#}" > /dev/null 2>&1
echo "Submitted batch job $count"
SH
printf '#!/usr/bin/env bash\necho JOBID\n' > "$folder/bin/squeue"
chmod +x "$folder"/bin/*
cat > "$folder/run.py" <<'PYTHON'
import os
import sys

import nipype
from nipype import Node, Workflow
from nipype.interfaces.utility import Function

nipype.logging.getLogger("nipype.workflow").setLevel("CRITICAL")


def touch(name):
    open(name, "w").close()


workflow = Workflow(name="study", base_dir=sys.argv[1])
names = [os.path.join(sys.argv[1], f"participant-{number}") for number in range(4)]
for number, name in enumerate(names):
    node = Node(Function(input_names=["name"], function=touch), name=f"p{number}")
    node.inputs.name = name
    workflow.add_nodes([node])
workflow.config["execution"] |= {
    "job_finished_timeout": 1,
    "poll_sleep_duration": 0.1,
    "crashdump_dir": sys.argv[1],
    "stop_on_first_crash": "false",
}
try:
    # One job at a time, so that it is seen who is still submitted after the lost one.
    workflow.run(plugin="SLURM", plugin_args={"max_jobs": 1})
    how = "ended"
except Exception as error:
    how = f"{type(error).__name__}: {error}"
made = sum(os.path.exists(name) for name in names)
crashes = [name for name in os.listdir(sys.argv[1]) if name.startswith("crash")]
print(f"nipype {nipype.__version__}, Python {sys.version.split()[0]}")
print(f"one of 4 independent jobs lost: {made} of the other 3 were run, {len(crashes)} crash files; {how}")
sys.exit((made, len(crashes), how.split(":")[0]) != (0, 0, "TypeError"))
PYTHON
mkdir "$folder/work"
cd "$folder"
LOGNAME="${LOGNAME:-somebody}" JOBS="$folder/jobs" PATH="$folder/bin:$PATH" "$folder/env/bin/python" run.py "$folder/work"
