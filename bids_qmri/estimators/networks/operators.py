"""What a network may be made of: the operators that compute the same at every call, and end."""

from __future__ import annotations

from pathlib import Path

from bids_qmri.errors import InputError
from bids_qmri.estimators.networks.contents import Contents, read_contents

_NAMES = (
    # what comes with the package, and what bids_qmri-train writes
    "Add Clip Concat Div Elu Exp Gather Gemm HardSigmoid Identity MatMul Max Mul ReduceSum Reshape Scan"
    " Sigmoid Sinh Slice Softplus Split Squeeze Sub Transpose Unsqueeze "
    # arithmetic, functions and comparisons by element
    "Abs Acos Acosh And Asin Asinh Atan Atanh Cast CastLike Ceil Cos Cosh Equal Erf Floor Greater"
    " GreaterOrEqual IsInf IsNaN Less LessOrEqual Log Mean Min Mod Neg Not Or Pow Reciprocal Round Sign Sin"
    " Sqrt Sum Tan Tanh Where Xor "
    # activations and normalisations
    "BatchNormalization Celu Gelu GroupNormalization HardSwish InstanceNormalization LayerNormalization"
    " LeakyRelu LogSoftmax LpNormalization Mish PRelu Relu Selu Softmax Softsign ThresholdedRelu "
    # matrices, convolutions, sequences
    "AveragePool Conv ConvTranspose Det Einsum GlobalAveragePool GlobalMaxPool GRU LSTM MaxPool RNN "
    # reductions, shapes and places
    "ArgMax ArgMin Compress Constant ConstantOfShape CumSum Expand EyeLike Flatten GatherElements GatherND"
    " NonZero OneHot Pad Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin"
    " ReduceProd ReduceSumSquare ReverseSequence ScatterElements ScatterND Shape Size Tile TopK Trilu"
    " Unique"
)
ALLOWED = frozenset(_NAMES.split())
"""Operators that a network may use: deterministic, and done after a number of steps that its inputs set."""

NEEDED = "operators of the standard set that compute the same at every call, and end"
FIX = "use the network that bids_qmri-train has written, or export yours with other operators"


def require_allowed(file: Path, content: bytes) -> Contents:
    """Refuse a network that is not made of allowed operators, or lies in several files.

    Parameters
    ----------
    file
        For the message.
    content
        Of the ONNX file.

    Returns
    -------
    What it is made of.

    Raises
    ------
    InputError
        Naming the operator; `ValueError` if it is no ONNX file.
    """
    found = read_contents(content)
    if found.outside:
        raise InputError(
            "some of its weights lie in another file",
            file=file,
            field="external_data",
            needed="one file that holds everything",
            fix="export it with bids_qmri-train",
        )
    foreign = sorted({domain for domain, _ in found.operators if domain})
    unknown = sorted({name for _, name in found.operators} - ALLOWED)
    if found.functions or foreign or unknown:
        seen = f"has the operator(s) {', '.join(unknown[:5])}"
        if foreign:
            seen = f"has operators of {', '.join(map(repr, foreign[:5]))}"
        elif found.functions:
            seen = "defines operators of its own"
        raise InputError(seen, file=file, field="operators", needed=NEEDED, fix=FIX)
    return found
