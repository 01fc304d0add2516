"""The one list: techniques with their models, and the estimators. Imports nothing heavy.

All other lists are made from it: words of the command line, readers, outputs, pages, DICOM series numbers,
configurations of the inline server, documentation. A technique is one folder and one entry of `TECHNIQUES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bids_qmri.errors import InputError

if TYPE_CHECKING:
    from bids_qmri.physics.model import Model


@dataclass(frozen=True)
class ModelEntry:
    """One signal model.

    Parameters
    ----------
    name
        The word of ``--models``.
    number
        Thousands of its DICOM series numbers; never given to another model.
    place
        ``module:object`` inside the folder of the technique.
    estimators
        Labels of the estimators that serve it. New ones are appended: their places are in series numbers.
    words
        What words of ``--estimators`` stand for here, where it is not the estimator of that label.
    """

    name: str
    number: int
    place: str
    estimators: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Technique:
    """One kind of acquisition with its models.

    Parameters
    ----------
    package
        Where its folder is imported from.
    kind
        Kind of acquisition; techniques that explain the same images share it, and its reader.
    models
        In the order in which they are run.
    estimators
        ``module:class`` by label, of estimators that are this technique's own.
    reader
        Module that finds its acquisitions in a dataset; empty: ``reader`` of the folder.
    """

    package: str
    kind: str
    models: tuple[ModelEntry, ...]
    estimators: Mapping[str, str] = field(default_factory=dict)
    reader: str = ""

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.package.rpartition(".")[2]


_CURVE = ("lsq", "mle", "map", "bayes", "ncde", "mlp")
_CURVE_LOCAL = (*_CURVE, "local")
_TENSOR = ("ols", "wls", "nlls", "restore")
_TENSOR_WORDS = {"lsq": ("wls",), "dipy": ("wls",)}
_DWI = "bids_qmri.bids.dwi"

TECHNIQUES: tuple[Technique, ...] = (
    Technique("bids_qmri.techniques.vfa", "vfa", (ModelEntry("vfa", 1, "model:VFA", (*_CURVE, "local")),)),
    Technique(
        "bids_qmri.techniques.ivim",
        "dwi",
        (
            ModelEntry(
                "ivim",
                2,
                "model:IVIM",
                (*_CURVE, "dipyTrr", "dipyVarpro", "local"),
                {"dipy": ("dipyTrr", "dipyVarpro")},
            ),
        ),
        reader=_DWI,
    ),
    Technique(
        "bids_qmri.techniques.dti",
        "dwi",
        (
            ModelEntry("dti", 5, "model:TENSOR", _TENSOR, _TENSOR_WORDS),
            ModelEntry("dki", 6, "model:KURTOSIS", _TENSOR, _TENSOR_WORDS),
        ),
        reader=_DWI,
    ),
    Technique(
        "bids_qmri.techniques.noddi",
        "dwi",
        (
            ModelEntry(
                "noddi",
                7,
                "model:NODDI",
                ("lsq", "mle", "ncde", "nnmle", "nngt", "onnx", "bayes", "local"),
            ),
            ModelEntry("noddiexvivo", 8, "exvivo:EX_VIVO_NODDI", ("lsq", "mle")),
        ),
        {
            "lsq": "fit:NoddiLsq",
            "mle": "fit:NoddiMle",
            "bayes": "bayes:NoddiBayes",
            "ncde": "ncde:NoddiNcde",
            "nnmle": "scheme_network:NnMle",
            "nngt": "scheme_network:NnGt",
            "onnx": "scheme_network:SchemeOnnx",
        },
        reader=_DWI,
    ),
    Technique(
        "bids_qmri.techniques.dce",
        "dce",
        (
            # Concentrations have Gaussian noise: the likelihood estimate is least squares.
            ModelEntry("etofts", 4, "model:EXTENDED_TOFTS", ("lsq", "map", "bayes", "ncde", "mlp", "local")),
            ModelEntry("tofts", 3, "model:TOFTS", ("lsq", "map", "bayes", "local")),
        ),
    ),
    Technique("bids_qmri.techniques.irt1", "irt1", (ModelEntry("irt1", 9, "model:IRT1", _CURVE_LOCAL),)),
    Technique(
        "bids_qmri.techniques.mese",
        "mese",
        (
            ModelEntry("mese", 10, "model:MESE", _CURVE_LOCAL),
            ModelEntry("epg", 11, "stimulated:EPG", _CURVE_LOCAL),
        ),
    ),
    Technique("bids_qmri.techniques.megre", "megre", (ModelEntry("megre", 12, "model:MEGRE", _CURVE_LOCAL),)),
    Technique(
        "bids_qmri.techniques.mpm",
        "mpm",
        (ModelEntry("mpm", 14, "model:MPM", ("lsq", "mle", "rational")),),
        {"rational": "fit:Rational"},
    ),
    Technique(
        "bids_qmri.techniques.mpm",
        "mts",
        (ModelEntry("mts", 13, "model:MTS", ("lsq", "mle", "rational")),),
        {"rational": "fit:Rational"},
        reader="bids_qmri.techniques.mpm.saturation",
    ),
    Technique(
        "bids_qmri.techniques.mp2rage",
        "mp2rage",
        (ModelEntry("mp2rage", 16, "model:MP2RAGE", ("lookup",), {"lsq": ("lookup",)}),),
        {"lookup": "fit:Lookup"},
    ),
    Technique("bids_qmri.techniques.mtr", "mtr", (ModelEntry("mtr", 15, "model:MTR", ("lsq", "mle")),)),
    Technique(
        "bids_qmri.techniques.tb1",
        "tb1",
        (ModelEntry("tb1", 17, "model:FIELD", ("ratio",), {"lsq": ("ratio",)}),),
        {"ratio": "fit:Ratio"},
    ),
    Technique(
        "bids_qmri.techniques.adc",
        "dwi",
        (ModelEntry("adc", 18, "model:ADC", ("lsq", "mle")),),
        reader=_DWI,
    ),
    Technique(
        "bids_qmri.techniques.fieldmap",
        "fieldmap",
        (ModelEntry("fieldmap", 19, "model:OFF_RESONANCE", ("phase",), {"lsq": ("phase",)}),),
        {"phase": "fit:PhaseFit"},
    ),
)

ESTIMATORS: Mapping[str, str] = {
    "lsq": "bids_qmri.estimators.classical.lsq:Lsq",
    "mle": "bids_qmri.estimators.classical.mle:Mle",
    "map": "bids_qmri.estimators.posterior.map:Map",
    "bayes": "bids_qmri.estimators.posterior.bayes:Bayes",
    "local": "bids_qmri.estimators.posterior.local:Local",
    "ncde": "bids_qmri.estimators.networks.ncde:Ncde",
    "mlp": "bids_qmri.estimators.networks.ncde:Mlp",
    "dipyTrr": "bids_qmri.estimators.dipy.ivim:DipyTrr",
    "dipyVarpro": "bids_qmri.estimators.dipy.ivim:DipyVarpro",
    "ols": "bids_qmri.estimators.dipy.tensor:Ols",
    "wls": "bids_qmri.estimators.dipy.tensor:Wls",
    "nlls": "bids_qmri.estimators.dipy.tensor:Nlls",
    "restore": "bids_qmri.estimators.dipy.tensor:Restore",
}
"""``module:class`` of the estimators that serve more than one technique, by label."""

INLINE_DEFAULT = "noddi-nnmle"
"""Configuration of the inline server for hosts that name none."""

FORMER_NAMES: Mapping[str, str] = {"tensor": "dti"}
"""Models by the names that earlier versions gave them."""


def entries() -> Iterator[tuple[Technique, ModelEntry]]:
    """Yield every model with its technique, in order."""
    for technique in TECHNIQUES:
        for entry in technique.models:
            yield technique, entry


def model_names() -> tuple[str, ...]:
    """Return the words of ``--models``."""
    return tuple(entry.name for _, entry in entries())


def find_entry(model_name: str) -> tuple[Technique, ModelEntry]:
    """Return a model with its technique.

    Raises
    ------
    InputError
        If there is no such model.
    """
    wanted = FORMER_NAMES.get(model_name, model_name)
    for technique, entry in entries():
        if entry.name == wanted:
            return technique, entry
    raise InputError(f"is {model_name!r}", field="model", needed=f"one of {', '.join(model_names())}")


def get_model(name: str, **settings: Any) -> Model:
    """Return a signal model; nothing but its own folder is imported.

    Parameters
    ----------
    name
        A word of ``--models``.
    settings
        What the model is told beside the protocol, such as ``d_par=1.7e-3`` of NODDI (mm^2/s).

    Raises
    ------
    InputError
        If there is no such model or setting, or the value cannot be meant.
    """
    technique, entry = find_entry(name)
    model: Model = load(f"{technique.package}.{entry.place}")
    return model.with_settings(settings) if settings else model


def load(place: str) -> Any:
    """Return the object at ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def module(model_name: str, name: str) -> ModuleType | None:
    """Return an optional module of a model's technique, None if there is none, or no such model."""
    try:
        technique, _ = find_entry(model_name)
    except ValueError:
        return None
    return _module(f"{technique.package}.{name}")


def part(model_name: str, module_name: str, name: str) -> Any:
    """Return an object of an optional module of a model's technique, None if the folder has none of it."""
    return getattr(module(model_name, module_name), name, None)


@cache
def _module(name: str) -> ModuleType | None:
    return import_module(name) if find_spec(name) is not None else None


def kinds() -> tuple[str, ...]:
    """Return the kinds of acquisitions, in the order in which they are read."""
    return tuple(dict.fromkeys(technique.kind for technique in TECHNIQUES))


def models_of(kind: str) -> tuple[str, ...]:
    """Return the models that explain a kind of acquisition, in the order in which they are run."""
    return tuple(entry.name for technique, entry in entries() if technique.kind == kind)


def kind_of(model_name: str) -> str:
    """Return the kind of acquisition that a model explains."""
    return find_entry(model_name)[0].kind


def readers() -> dict[str, str]:
    """Return the module that finds the acquisitions of each kind, in the order in which they are read."""
    found: dict[str, str] = {}
    for technique in TECHNIQUES:
        found.setdefault(technique.kind, technique.reader or f"{technique.package}.reader")
    return found


def model_of_map(kind: str, map_name: str) -> str:
    """Return the first model of a kind of acquisition that gives a map, empty if none does."""
    return next((name for name in models_of(kind) if map_name in _maps_of(name)), "")


def _maps_of(model_name: str) -> set[str]:
    model = get_model(model_name)
    return {parameter.name for parameter in (*model.parameters, *model.derived)}


def estimator_words() -> tuple[str, ...]:
    """Return the words of ``--estimators``: labels, and words that stand for several."""
    labels = dict.fromkeys(label for _, entry in entries() for label in entry.estimators)
    words = dict.fromkeys(word for _, entry in entries() for word in entry.words)
    return (*labels, *(word for word in words if word not in labels))


def labels_for(model_name: str, words: Iterable[str], prefer: Iterable[str] = ()) -> list[str]:
    """Return the labels of a model that words of ``--estimators`` ask for, in order, each once.

    Parameters
    ----------
    model_name
        A word of ``--models``.
    words
        One that the model lacks gives nothing.
    prefer
        Labels that words which stand for others mean instead, where the model has them.

    Examples
    --------
    >>> labels_for("ivim", ["lsq", "dipy"])
    ['lsq', 'dipyTrr', 'dipyVarpro']
    >>> labels_for("dti", ["lsq", "mle"])
    ['wls']
    >>> labels_for("dti", ["lsq"], ["ols", "wls"])
    ['ols', 'wls']
    """
    _, entry = find_entry(model_name)
    preferred = tuple(label for label in prefer if label in entry.estimators)
    asked: set[str] = set()
    for word in words:
        meant = entry.words.get(word)
        asked |= {word} if meant is None else set(preferred or meant)
    return [label for label in entry.estimators if label in asked]


def words_for(model_name: str) -> list[str]:
    """Return the words of ``--estimators`` that give a model an estimator.

    Examples
    --------
    >>> words_for("dki")
    ['lsq', 'ols', 'wls', 'nlls', 'restore', 'dipy']
    """
    return [word for word in estimator_words() if labels_for(model_name, [word])]
