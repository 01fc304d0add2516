"""The one list is true to what it names, and what archives rely on does not move."""

from __future__ import annotations

import pytest

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, estimator_class, get_estimator
from bids_qmri.interfaces.dicom import NUMBERS_OF_A_MODEL, NUMBERS_OF_AN_ESTIMATOR
from bids_qmri.outputs.tables import output_table
from bids_qmri.physics.model import Model

ENTRIES = [entry for technique in catalogue.TECHNIQUES for entry in technique.models]

FIRST_SERIES_NUMBERS = {
    "vfa": {"lsq": 1001, "mle": 1051, "map": 1101, "bayes": 1151, "ncde": 1201, "mlp": 1251},
    "ivim": {"lsq": 2001, "mle": 2051, "map": 2101, "bayes": 2151, "ncde": 2201, "mlp": 2251}
    | {"dipyTrr": 2301, "dipyVarpro": 2351},
    "tofts": {"lsq": 3001, "map": 3051, "bayes": 3101},
    "etofts": {"lsq": 4001, "map": 4051, "bayes": 4101, "ncde": 4151, "mlp": 4201},
    "dti": {"ols": 5001, "wls": 5051, "nlls": 5101, "restore": 5151},
    "dki": {"ols": 6001, "wls": 6051, "nlls": 6101, "restore": 6151},
    "noddi": {"lsq": 7001, "mle": 7051, "ncde": 7101, "nnmle": 7151, "nngt": 7201, "onnx": 7251},
}
"""Of the first release that wrote DICOM: archives hold series by them."""


@pytest.mark.parametrize("model", FIRST_SERIES_NUMBERS)
def test_series_numbers_stay_what_they_are(model: str) -> None:
    _, entry = catalogue.find_entry(model)
    numbers = {
        label: 1 + NUMBERS_OF_A_MODEL * entry.number + NUMBERS_OF_AN_ESTIMATOR * place
        for place, label in enumerate(entry.estimators)
    }
    assert FIRST_SERIES_NUMBERS[model].items() <= numbers.items()


def test_no_two_models_share_a_name_or_a_number() -> None:
    assert len({entry.name for entry in ENTRIES}) == len({entry.number for entry in ENTRIES}) == len(ENTRIES)
    assert not set(catalogue.FORMER_NAMES) & {entry.name for entry in ENTRIES}
    assert set(catalogue.FORMER_NAMES.values()) <= {entry.name for entry in ENTRIES}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_model_is_what_its_entry_says(entry: catalogue.ModelEntry) -> None:
    model = catalogue.get_model(entry.name)
    assert isinstance(model, Model)
    assert model.name == entry.name
    table = output_table(entry.name)
    fitted = {p.name for p in (*model.parameters, *model.derived) if not p.internal}
    assert fitted <= {row.name for row in table.maps}
    assert set(model.main) <= {row.name for row in table.maps}


@pytest.mark.parametrize(
    ("model", "label"), [(entry.name, label) for entry in ENTRIES for label in entry.estimators]
)
def test_every_estimator_says_what_it_is(model: str, label: str) -> None:
    kind = estimator_class(model, label)
    assert issubclass(kind, Estimator)
    assert kind.label == label
    assert kind.description.endswith(".")
    assert "doi:" in kind.reference or "http" in kind.reference
    assert isinstance(get_estimator(model, label), kind)


@pytest.mark.parametrize("word", catalogue.estimator_words())
def test_every_word_of_the_command_line_means_something(word: str) -> None:
    assert any(catalogue.labels_for(entry.name, [word]) for entry in ENTRIES)


def test_former_names_mean_what_they_meant() -> None:
    assert catalogue.get_model("tensor") is catalogue.get_model("dti")
    assert catalogue.labels_for("dti", ["lsq"]) == catalogue.labels_for("dti", ["dipy"]) == ["wls"]
    assert catalogue.labels_for("ivim", ["dipy"]) == ["dipyTrr", "dipyVarpro"]
    assert catalogue.labels_for("dti", ["mle"]) == []


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="model: is 't2star'; needed: one of vfa"):
        catalogue.get_model("t2star")


def test_no_two_models_write_maps_of_the_same_name() -> None:
    """Where a participant has acquisitions of both, one map would replace the other."""
    owners: dict[tuple[tuple[str, str], ...], str] = {}
    for entry in ENTRIES:
        table = output_table(entry.name)
        for row in (*table.maps, table.rmse, table.status):
            parts = tuple(sorted(row.name_parts("lsq").items()))
            assert owners.setdefault(parts, entry.name) == entry.name, parts
