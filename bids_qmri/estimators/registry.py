"""The estimators by the label that file names carry (``desc-<label>``), and what sidecars say about them.

Called by `workflows.plan` (which labels does a command line ask for) and `interfaces.fit` (which function
makes these maps).
Nothing is imported before it is asked for: dipy and scipy cost seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, FitResult
from bids_qmri.estimators.network_file import load_network, shipped_network
from bids_qmri.models.base import Bounds, Model
from bids_qmri.models.noddi import D_ISO, D_PAR
from bids_qmri.units import FloatArray

ModelEstimator = Callable[
    [npt.ArrayLike, Any, float | FloatArray | None, Bounds | None],
    FitResult,
]
"""signal (V, N), protocol, sigma, bounds -> FitResult, for one model."""

TENSOR_FITS = ("ols", "wls", "nlls", "restore")
_IVIM_DIPY = ("dipyTrr", "dipyVarpro")
_GENERIC = ("lsq", "mle", "map", "bayes")
NETWORKS = ("ncde", "mlp")
SCHEME_NETWORKS = ("nnmle", "nngt", "onnx")

NEED_NOISE = ("mle", "map", "bayes", *NETWORKS)
"""Labels of estimators that cannot do without a noise level."""

LABELS: dict[str, tuple[str, ...]] = {
    "vfa": (*_GENERIC, *NETWORKS),
    "ivim": (*_GENERIC, *NETWORKS, *_IVIM_DIPY),
    # Concentrations have Gaussian noise: the likelihood estimate is least squares.
    "tofts": ("lsq", "map", "bayes"),
    "etofts": ("lsq", "map", "bayes", *NETWORKS),
    "tensor": TENSOR_FITS,
    "dki": TENSOR_FITS,
    "noddi": ("lsq", "mle", "ncde", *SCHEME_NETWORKS),
}
"""The labels of every model of ``--models``."""


@dataclass(frozen=True)
class Algorithm:
    """What the sidecar of a map says about its estimator.

    Parameters
    ----------
    description
        ``EstimationAlgorithm``: one sentence.
    reference
        ``EstimationReference``: authors, year and doi, or the section of a text.
    """

    description: str
    reference: str


ALGORITHM: dict[str, Algorithm] = {
    "lsq": Algorithm(
        "Bounded nonlinear least squares by the Levenberg-Marquardt algorithm, all voxels at once.",
        "Marquardt 1963, doi:10.1137/0111030",
    ),
    "mle": Algorithm(
        "Maximum of the Rician likelihood within bounds, noise level given or estimated from the scan.",
        "Sijbers et al. 1998, doi:10.1109/42.712125",
    ),
    "bayes": Algorithm(
        "Mean and standard deviation of the posterior under a uniform prior within bounds, on an adaptive "
        "grid (one nonlinear parameter) or by importance sampling (several), noise level given or estimated "
        "from the scan.",
        "Gelman et al., Bayesian Data Analysis, 3rd edition 2013, sections 10.1 to 10.4, doi:10.1201/b16018",
    ),
    "map": Algorithm(
        "Maximum of the posterior under a Gaussian prior with mean and variance of a uniform one within "
        "bounds, noise level given or estimated from the scan.",
        "Gelman et al., Bayesian Data Analysis, 3rd edition 2013, chapter 4, doi:10.1201/b16018",
    ),
    "ncde": Algorithm(
        "Neural controlled differential equation over the measurements, trained on simulated signals of "
        "many protocols, that corrects the maximum of the posterior within bounds; standard deviations by "
        "the same network.",
        "Kuppens et al. 2024, doi:10.48550/arXiv.2412.20844",
    ),
    "mlp": Algorithm(
        "Neural network for one protocol, trained on simulated signals of it; standard deviations by the "
        "same network.",
        "Kuppens et al. 2024, doi:10.48550/arXiv.2412.20844",
    ),
    "nnmle": Algorithm(
        "Fully connected neural network for one set of diffusion weightings, trained on simulated signals "
        "with the parameters that a fit finds in them.",
        "Rot et al. 2025, doi:10.48550/arXiv.2507.12632",
    ),
    "nngt": Algorithm(
        "Fully connected neural network for one set of diffusion weightings, trained on simulated signals "
        "with their true parameters.",
        "Rot et al. 2025, doi:10.48550/arXiv.2507.12632",
    ),
    "onnx": Algorithm(
        "Fully connected neural network for one set of diffusion weightings, given by the user.",
        "Rot et al. 2025, doi:10.48550/arXiv.2507.12632",
    ),
    "dipyTrr": Algorithm(
        "Segmented log-linear fit followed by bounded trust-region least squares (dipy IvimModel, trr).",
        "Federau et al. 2012, doi:10.1148/radiol.12120584",
    ),
    "dipyVarpro": Algorithm(
        "Differential evolution on the exponents with variable projection, then bounded least squares "
        "(dipy IvimModel, VarPro).",
        "Farooq et al. 2016, doi:10.1038/srep38927",
    ),
    "ols": Algorithm(
        "Ordinary linear least squares on the logarithm of the signal (dipy).",
        "Basser et al. 1994, doi:10.1006/jmrb.1994.1037",
    ),
    "wls": Algorithm(
        "Linear least squares on the logarithm of the signal, weighted by the squared signal of an ordinary "
        "fit (dipy).",
        "Chung et al. 2006, doi:10.1016/j.neuroimage.2006.07.001",
    ),
    "nlls": Algorithm(
        "Nonlinear least squares on the signal, started from the ordinary linear fit (dipy).",
        "Koay et al. 2006, doi:10.1016/j.jmr.2006.06.020",
    ),
    "restore": Algorithm(
        "Robust nonlinear least squares with rejection of outlying measurements, RESTORE (dipy).",
        "Chang et al. 2005, doi:10.1002/mrm.20426",
    ),
}
"""What to write into the sidecar, by label."""

NODDI_NCDE = Algorithm(
    "Neural controlled differential equation along the b-value, trained on simulated signals of many "
    "multi-shell protocols; inputs invariant to rotation, direction and noise by linear fits of every shell, "
    "standard deviations by the same network.",
    "Kuppens et al. 2024, doi:10.48550/arXiv.2412.20844",
)
"""What stands for `ncde` where it is NODDI's, which shares the idea and no more."""


def algorithm_of(model_name: str, label: str) -> Algorithm:
    """Return what to write into the sidecar of a map."""
    return NODDI_NCDE if (model_name, label) == ("noddi", "ncde") else ALGORITHM[label]


def get_estimator(
    model_name: str,
    label: str,
    seed: int = 0,
    *,
    network: Path | None = None,
    threads: int = 1,
    diffusivities: tuple[float, float] = (D_PAR, D_ISO),
) -> ModelEstimator:
    """Return the estimator of a label, bound to its model.

    Parameters
    ----------
    model_name
        A word of ``--models``: a key of `LABELS`.
    label
        One of the labels of that model.
    seed
        Of the estimators that draw random numbers, which is dipy's VarPro alone.
    network
        File of the network of ``mlp`` or ``onnx``.
    threads
        Threads that networks may use.
    diffusivities
        Of NODDI, along neurites and of free water, mm^2/s.

    Returns
    -------
    Callable
        ``estimator(signal, protocol, sigma, bounds)`` with signals of shape (V, N). dipy's estimators have
        bounds of their own and ignore `bounds`.

    Raises
    ------
    ValueError
        If the model has no estimator of that label.
    """
    if label not in LABELS.get(model_name, ()):
        raise ValueError(f"{model_name} has no estimator {label!r}; it has {LABELS.get(model_name, ())}")
    if model_name in ("tensor", "dki"):
        from bids_qmri.estimators import dipy_tensor

        fit_tensors = dipy_tensor.fit_tensor if model_name == "tensor" else dipy_tensor.fit_dki
        return partial(_without_bounds, partial(fit_tensors, method=cast(Any, label)))
    if model_name == "noddi":
        from bids_qmri.models.noddi import Noddi

        return partial(_call, _noddi_estimator(label, network, threads), Noddi(*diffusivities))
    if label in _IVIM_DIPY:
        from bids_qmri.estimators import dipy_ivim

        method = "trr" if label == "dipyTrr" else "varpro"
        return partial(_without_bounds, partial(dipy_ivim.fit_ivim, method=cast(Any, method), seed=seed))
    if label in NETWORKS:
        from bids_qmri.estimators import ncde

        if (label == "mlp") != (network is not None):
            raise ValueError(f"{label} with network file {network}: mlp needs one, ncde has its own")
        return partial(_with_model, partial(ncde.fit, network=network, threads=threads), model_name)
    estimator: Estimator = import_module(f"bids_qmri.estimators.{label}").fit
    return partial(_with_model, estimator, model_name)


def _noddi_estimator(label: str, network: Path | None, threads: int) -> Callable[..., FitResult]:
    """Return an estimator of NODDI, which has fits and networks of its own."""
    if label in ("lsq", "mle"):
        from bids_qmri.estimators.noddi_fit import fit

        return partial(fit, likelihood="gaussian" if label == "lsq" else "rician")
    if label == "ncde":
        from bids_qmri.estimators.noddi_ncde import fit as fit_any

        return partial(fit_any, threads=threads)
    from bids_qmri.estimators.scheme_network import fit as fit_scheme

    return partial(fit_scheme, network=noddi_network(label, network), threads=threads)


def noddi_network(label: str, network: Path | None = None) -> Path:
    """Return the file of a NODDI network for one scheme: the one that was given, else the shipped one.

    Raises
    ------
    InputError
        If there is none.
    """
    from bids_qmri.estimators.scheme_network import shipped_scheme_network

    file = network or shipped_scheme_network(label)
    if file is None:
        raise InputError(
            "no such network comes with this package",
            field=f"--methods {label}",
            needed="ncde, lsq, mle, or a network of your own",
            way_out="train one: bids_qmri-train noddi --scheme BVAL BVEC, and give it as --onnx FILE",
        )
    return file


def forget_networks() -> None:
    """Load networks anew when they are needed next; files of a user may have been replaced."""
    from bids_qmri.estimators.scheme_network import load_scheme_network

    load_network.cache_clear()
    load_scheme_network.cache_clear()


def default_methods(model_name: str) -> tuple[str, ...]:
    """Return the methods of a model unless others are asked for: ``ncde`` where its network is shipped."""
    return ("lsq",) if shipped_network(model_name) is None else ("lsq", "ncde")


def labels_for(model_name: str, methods: Sequence[str], tensor_fit: Sequence[str] = ("wls",)) -> list[str]:
    """Return the labels that a command line asks for, in the order of `LABELS`, each once.

    Parameters
    ----------
    model_name
        A word of ``--models``.
    methods
        Words of ``--methods``: ``dipy``, or labels. One that the model lacks gives nothing.
    tensor_fit
        Words of ``--tensor-fit``, which `lsq` and `dipy` alike mean for tensors.

    Examples
    --------
    >>> labels_for("ivim", ["lsq", "dipy"])
    ['lsq', 'dipyTrr', 'dipyVarpro']
    >>> labels_for("tensor", ["lsq", "mle"], ["ols", "wls"])
    ['ols', 'wls']
    """
    asked = set(methods)
    if "dipy" in asked:
        asked |= set(_IVIM_DIPY)
    if model_name in ("tensor", "dki"):
        asked = set(tensor_fit) if asked & {"lsq", "dipy"} else set()
    return [label for label in LABELS[model_name] if label in asked]


def methods_for(model_name: str) -> list[str]:
    """Return the words of ``--methods`` that give a model an estimator.

    Examples
    --------
    >>> methods_for("tensor")
    ['lsq', 'dipy']
    """
    words = (*_GENERIC, *NETWORKS, *SCHEME_NETWORKS, "dipy")
    return [word for word in words if labels_for(model_name, [word])]


def _with_model(
    estimator: Estimator,
    model_name: str,
    signal: npt.ArrayLike,
    protocol: Any,
    sigma: float | FloatArray | None = None,
    bounds: Bounds | None = None,
) -> FitResult:
    """Call an estimator of forward models; a top-level function, so that it survives the trip to a worker."""
    from bids_qmri.models.registry import get_model

    return estimator(get_model(model_name), signal, protocol, sigma=sigma, bounds=bounds)


def _call(
    estimator: Callable[..., FitResult],
    model: Model,
    signal: npt.ArrayLike,
    protocol: Any,
    sigma: float | FloatArray | None = None,
    bounds: Bounds | None = None,
) -> FitResult:
    """Call an estimator of one model that has settings."""
    return estimator(model, signal, protocol, sigma=sigma, bounds=bounds)


def _without_bounds(
    estimator: Callable[..., FitResult],
    signal: npt.ArrayLike,
    protocol: Any,
    sigma: float | FloatArray | None = None,
    bounds: Bounds | None = None,
) -> FitResult:
    """Call an estimator of dipy, which keeps bounds of its own."""
    return estimator(signal, protocol, sigma=sigma)
