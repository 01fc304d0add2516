"""Running an ONNX file: started on checked content, and its answers checked for their shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.networks.operators import require_allowed
from bids_qmri.files import in_words

Float32Array = npt.NDArray[np.float32]


def start_session(file: Path, card: Mapping[str, Any], content: bytes) -> Any:
    """Start onnxruntime on one thread: blocks of voxels run side by side instead.

    Parameters
    ----------
    file, card
        For the message.
    content
        The ONNX file.

    Raises
    ------
    InputError
        If it is not made of allowed operators, or onnxruntime cannot load it.
    """
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        require_allowed(file, content)
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except InputError:
        raise
    # Its errors have no common base of their own.
    except Exception as error:
        opset, version = card.get("opset"), card.get("ir_version")
        says = f"; its card says opset {opset}, IR version {version}" if opset else ""
        raise InputError(
            f"onnxruntime {onnxruntime.__version__} cannot load it ({in_words(error)}){says}",
            file=file,
            field="opset",
            needed="an ONNX model that this version of onnxruntime can run",
            fix="check that it is an ONNX file; if so, update onnxruntime, or train the network again",
        ) from error


def run_session(
    session: Any,
    file: Path,
    names: Sequence[str] | None,
    inputs: Mapping[str, Float32Array],
    shape: tuple[int, int],
) -> list[Float32Array]:
    """Return the answers of a network, each of one shape, with NaN where they are not finite.

    Parameters
    ----------
    session
        What `start_session` returned.
    file
        For the message.
    names
        Of the answers; None takes the first.
    inputs
        Arrays by name.
    shape
        Voxels and numbers per voxel that every answer must have.

    Raises
    ------
    InputError
        The network fails, or its answers have another shape.
    """
    fix = "use a network that bids_qmri-train has written"
    try:
        answers = session.run(names, dict(inputs))
    except Exception as error:
        raise InputError(
            f"fails on a scan ({in_words(error)})", file=file, field="network", fix=fix
        ) from error
    found = [np.asarray(answer) for answer in (answers if names else answers[:1])]
    for answer in found:
        if answer.shape != shape or answer.dtype.kind != "f":
            raise InputError(
                f"answers {answer.dtype.name} of shape {answer.shape}",
                file=file,
                field="outputs",
                needed=f"floating-point numbers of shape {shape}",
                fix=fix,
            )
    # Infinity would be clipped to a limit, and believed there.
    return [np.where(np.isfinite(answer), answer, np.float32(np.nan)) for answer in found]
