"""BIDS-App that turns raw quantitative MRI into parameter maps with error bars and quality reports.

The front door for scripts and notebooks, the same defaults as the command line:

>>> import bids_qmri                                                                  # doctest: +SKIP
>>> result = bids_qmri.fit("ivim", signal, bvals=bvals, estimator="ncde")             # doctest: +SKIP
>>> result.maps["d"], result.sd["d"], result.status                                   # doctest: +SKIP

Protocols of all techniques are here as well: ``bids_qmri.DiffusionProtocol``, ``bids_qmri.VfaProtocol``, ….
Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bids_qmri.catalogue import get_model
    from bids_qmri.errors import InputError
    from bids_qmri.estimation.front_door import fit, load_network
    from bids_qmri.estimators.base import FitResult, Status, get_estimator
    from bids_qmri.estimators.dipy.reconst import QmriModel
    from bids_qmri.physics.diffusion import DiffusionProtocol

__all__ = [
    "DiffusionProtocol",
    "FitResult",
    "InputError",
    "QmriModel",
    "Status",
    "__version__",
    "fit",
    "get_estimator",
    "get_model",
    "load_network",
]

_HOMES = {
    "fit": "estimation.front_door",
    "load_network": "estimation.front_door",
    "get_model": "catalogue",
    "get_estimator": "estimators.base",
    "FitResult": "estimators.base",
    "Status": "estimators.base",
    "InputError": "errors",
    "QmriModel": "estimators.dipy.reconst",
    "DiffusionProtocol": "physics.diffusion",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        # Not at the top: it costs more than all else that is imported here.
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("bids_qmri")
        except PackageNotFoundError:  # a source tree that was never installed
            return "0+unknown"
    if name in _HOMES:
        return getattr(import_module(f"bids_qmri.{_HOMES[name]}"), name)
    if name.endswith("Protocol"):
        from bids_qmri import catalogue

        for model_name in catalogue.model_names():
            if (found := catalogue.part(model_name, "protocol", name)) is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
