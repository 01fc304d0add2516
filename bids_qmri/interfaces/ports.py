"""nipype interfaces with file and value ports, one per model: ``FitVfa``, ``FitIvim``, ``FitNoddi``, ….

Made from what the technique of the model declares (`interfaces.files`). For workflows of other pipelines; no
global configuration of nipype is touched.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, get_estimator
from bids_qmri.estimators.networks.own import network_estimator, network_use
from bids_qmri.interfaces.files import Port, fit_files, port_rows, ports_of

COMMON = ("estimator", "network", "mask", "bounds", "prior", "sigma", "settings", "threads", "seed")
"""Inputs of every interface beside the ports of its technique."""


class _FitFiles(SimpleInterface):  # type: ignore[misc]
    """Fit images in files; see the ports of `input_spec` and `output_spec`."""

    model_name: str

    def _run_interface(self, runtime):  # type: ignore[no-untyped-def]
        given = {name: value for name, value in self.inputs.get().items() if traits.Undefined is not value}
        common = {name: given.pop(name) for name in COMMON if name in given}
        model = catalogue.get_model(self.model_name, **common.get("settings", {}))
        mask = common.get("mask")
        found = fit_files(
            model,
            _estimator(self.model_name, common),
            Path(runtime.cwd),
            mask=None if mask is None else Path(mask),
            bounds=common.get("bounds"),
            sigma=common.get("sigma"),
            prior=common.get("prior", "scan"),
            threads=common.get("threads", 1),
            **given,
        )
        self._results.update({name: str(path) for name, path in found.items()})
        return runtime


def _estimator(model_name: str, common: dict[str, Any]) -> Estimator:
    """Return the estimator of the inputs: of a word, or of a network of one's own.

    Raises
    ------
    InputError
        If the word means none or several, or the network is for another model.
    """
    options = {name: common[name] for name in ("seed",) if name in common}
    if "network" in common:
        file = Path(common["network"])
        if network_use(file)[0] != model_name:
            raise InputError(
                f"is a network for {network_use(file)[0]}",
                file=file,
                field="network",
                needed=f"one for {model_name}",
            )
        return network_estimator(file, **options)
    labels = catalogue.labels_for(model_name, [common["estimator"]])
    if len(labels) != 1:
        known = catalogue.find_entry(model_name)[1].estimators
        raise InputError(
            f"is {common['estimator']!r}",
            field="estimator",
            needed=f"one of {', '.join(known)} for {model_name}",
        )
    return get_estimator(model_name, labels[0], **options)


def _common() -> dict[str, Any]:
    """Return the inputs that every interface has."""
    return {
        "estimator": traits.Str("lsq", usedefault=True, desc="a word of --estimators that means one"),
        "network": File(exists=True, desc="a trained network for the model; wins over estimator"),
        "mask": File(exists=True, desc="above 0.5 where to fit; not given: found from the images"),
        "bounds": traits.Dict(
            traits.Str, traits.Tuple(traits.Float, traits.Float), desc="limits by parameter"
        ),
        "prior": traits.Str(
            "scan", usedefault=True, desc="where map, bayes and ncde expect the truth: scan, box, or a file"
        ),
        "sigma": traits.Float(desc="noise level of a single image; not given: estimated where needed"),
        "settings": traits.Dict(traits.Str, traits.Float, desc="what the model is told, such as d_par"),
        "threads": traits.Int(1, usedefault=True, desc="blocks of voxels that are fitted at a time"),
        "seed": traits.Int(0, usedefault=True, desc="of what draws random numbers"),
    }


def _trait(port: Port) -> Any:
    """Return nipype's word for what a port takes."""
    about = {"mandatory": port.needed, "desc": port.what}
    makers = {
        "file": lambda: File(exists=True, **about),
        "files": lambda: InputMultiObject(File(exists=True), **about),
        "number": lambda: traits.Float(**about),
        "integer": lambda: traits.Int(**about),
        "numbers": lambda: traits.List(traits.Float, **about),
        "text": lambda: traits.Str(**about),
        "choice": lambda: traits.Str(**about),
    }
    return makers[port.kind]()


@cache
def fit_interface(model_name: str) -> type[_FitFiles]:
    """Return the interface that fits a model: a class whose instances survive the trip to a worker.

    Parameters
    ----------
    model_name
        A word of ``--models``.
    """
    name = f"Fit{model_name.capitalize()}"
    inputs = {port.name: _trait(port) for port in ports_of(model_name)} | _common()
    outputs = {key: File(desc=row.description) for key, row in port_rows(model_name).items()}
    outputs["metadata"] = File(desc="JSON: units, descriptions, method, noise level, notes")
    members = {
        "__module__": __name__,
        "__qualname__": name,
        "__doc__": f"Fit the model {model_name} to images in files.",
        "model_name": model_name,
        "input_spec": type(f"{name}InputSpec", (BaseInterfaceInputSpec,), inputs | {"__module__": __name__}),
        "output_spec": type(f"{name}OutputSpec", (TraitedSpec,), outputs | {"__module__": __name__}),
    }
    return type(name, (_FitFiles,), members)


def __getattr__(name: str) -> Any:
    for model_name in catalogue.model_names():
        own = f"Fit{model_name.capitalize()}"
        if name.startswith(own):
            interface = fit_interface(model_name)
            found = {
                own: interface,
                f"{own}InputSpec": interface.input_spec,
                f"{own}OutputSpec": interface.output_spec,
            }
            if name in found:
                return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
