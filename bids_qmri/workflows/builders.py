"""Workflows for other pipelines: one model between an ``inputnode`` and an ``outputnode``.

``init_vfa_wf``, ``init_ivim_wf``, … are made for every technique of the catalogue; `init_model_wf` takes any
model.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.interfaces.files import port_rows, ports_of

NODE_MEMORY_GB = 1.2
"""What one fit may need."""


def init_model_wf(model: str, *, name: str | None = None, **inputs: Any) -> Any:
    """Build a workflow that fits a model to images in files.

    Parameters
    ----------
    model
        A word of ``--models``.
    name
        Of the workflow; None: ``fit_<model>_wf``.
    inputs
        Values of the input node that are known beforehand, such as ``estimator="ncde"``.

    Returns
    -------
    nipype.Workflow
        ``inputnode``: the ports of the technique (``in_files``, ``flip_angles``, ``in_bval``, ``mask``, …),
        ``estimator``, ``network``, ``bounds``, ``settings``. ``outputnode``: every map by name, ``NAME_sd``,
        ``residual``, ``status``, ``metadata``.

    Raises
    ------
    InputError
        If there is no such model or no such input.
    """
    catalogue.find_entry(model)
    from nipype import IdentityInterface, Node, Workflow

    from bids_qmri.interfaces.ports import COMMON, fit_interface

    fields = [*(port.name for port in ports_of(model)), *COMMON]
    maps = [*port_rows(model), "metadata"]
    if unknown := sorted(inputs.keys() - set(fields)):
        raise InputError(
            f"there is no input {', '.join(unknown)}", field=f"inputs of {model}", needed=", ".join(fields)
        )
    workflow = Workflow(name=name or f"fit_{model}_wf")
    inputnode = Node(IdentityInterface(fields=fields), name="inputnode")
    outputnode = Node(IdentityInterface(fields=maps), name="outputnode")
    fit = Node(fit_interface(model)(), name="fit", mem_gb=NODE_MEMORY_GB)
    # What is connected replaces the defaults of the fit, even by nothing.
    known = {name: value for name, value in fit.inputs.get().items() if name in fields}
    inputnode.inputs.trait_set(**known | inputs)
    workflow.connect(
        [
            (inputnode, fit, [(field, field) for field in fields]),
            (fit, outputnode, [(field, field) for field in maps]),
        ]
    )
    return workflow


def __getattr__(name: str) -> Any:
    """Return ``init_<technique>_wf``, which fits the first model of a technique unless told ``model=``."""
    # Techniques of one folder share a workflow.
    models = tuple(entry.name for one, entry in catalogue.entries() if name == f"init_{one.name}_wf")
    if models:
        return partial(_init_technique_wf, models)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _init_technique_wf(
    models: tuple[str, ...], *, model: str = "", name: str | None = None, **inputs: Any
) -> Any:
    if model and model not in models:
        raise InputError(f"is {model!r}", field="model", needed=f"one of {', '.join(models)}")
    return init_model_wf(model or models[0], name=name, **inputs)
