"""A user's network is tried in a process of its own first, with limits of time and memory.

A network that never ends, or takes all memory, would take the run with it. Here it takes a process that
nobody misses. Run as a program, this file is that process: content of the ONNX file in, one line of JSON out.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bids_qmri.errors import InputError

VOXELS, MEASUREMENTS = 512, 8
"""Size of the inputs where the network leaves it open."""

SECONDS = 60
"""Longest trial, loading included; usual networks take one second."""

MEMORY = 6 * 2**30
"""Bytes of address space of the process; libraries alone take one or two."""

FIX = "use the network that bids_qmri-train has written, or a smaller one"

_TRIED: dict[str, InputError | None] = {}


def try_out(file: Path, content: bytes) -> None:
    """Refuse a network that does not load and answer within limits; each content is tried once.

    What else is wrong with it is said where it is loaded.

    Parameters
    ----------
    file
        For the message.
    content
        Of the ONNX file, of allowed operators.

    Raises
    ------
    InputError
        It takes too long or too much memory, or ends its process.
    """
    key = hashlib.sha256(content).hexdigest()
    if key not in _TRIED:
        _TRIED[key] = _tried(file, content)
    error = _TRIED[key]
    if error is not None:
        raise InputError(error.seen, file=file, field="network", needed=error.needed, fix=error.fix)


def _tried(file: Path, content: bytes) -> InputError | None:
    def refused(seen: str, needed: str) -> InputError:
        return InputError(seen, file=file, field="network", needed=needed, fix=FIX)

    on_time = f"an answer for {VOXELS} voxels within {SECONDS} s"
    within = f"at most {MEMORY / 2**30:g} GB for {VOXELS} voxels"
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-P", "-m", __name__, str(SECONDS), str(MEMORY)]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return refused(f"has not answered after {SECONDS} s", on_time)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return refused(f"has not answered after {SECONDS} s of the processor, or took all memory", on_time)
    if done.returncode < 0:
        return refused(f"ends the process that runs it (signal {-done.returncode})", "a network that runs")
    said = done.stdout.decode("utf-8", "replace").strip().splitlines()
    try:
        problem = str(json.loads(said[-1])["problem"])
    except (IndexError, ValueError, KeyError, TypeError):
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return refused(f"cannot be tried ({words[-1] if words else 'no answer'})", "a network that runs")
    return refused(f"takes too much memory ({problem})", within) if problem else None


def main(seconds: int, memory: int) -> str:
    """Load and run the network on standard input once; return what is wrong with its memory, if anything."""
    import resource

    content = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _run(content)
    except MemoryError:
        return "more than its process may have"
    except Exception as error:  # of onnxruntime: what has nothing to do with memory is said elsewhere
        text = " ".join(str(error).split())
        return text[:200] if "alloc" in text.lower() else ""
    return ""


def _run(content: bytes) -> None:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed: dict[str, Any] = {}
    for end in session.get_inputs():
        sizes = (VOXELS, *[MEASUREMENTS] * 8)
        shape = [size if isinstance(size, int) else own for size, own in zip(end.shape, sizes, strict=False)]
        feed[end.name] = rng.uniform(0.1, 1.0, shape).astype(np.float32)
    session.run(None, feed)


if __name__ == "__main__":
    print(json.dumps({"problem": main(int(sys.argv[1]), int(sys.argv[2]))}))
