"""The output tables agree with the models and keep their own rules."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import yaml

from bids_qmri import catalogue
from bids_qmri.catalogue import get_model, model_names
from bids_qmri.errors import InternalError
from bids_qmri.outputs.tables import is_cmixf, output_table, parse_table, unknown_suffixes


def raw_table(model: str) -> dict[str, Any]:
    technique, _ = catalogue.find_entry(model)
    text = resources.files(technique.package).joinpath("outputs.yaml").read_text(encoding="utf-8")
    return next(raw for raw in yaml.safe_load_all(text) if raw["model"] == model)


@pytest.mark.parametrize("model", model_names())
def test_every_table_loads_and_names_itself(model: str) -> None:
    assert output_table(model).model == model


@pytest.mark.parametrize("technique", catalogue.TECHNIQUES, ids=lambda technique: technique.name)
def test_a_technique_has_one_table_per_model(technique: catalogue.Technique) -> None:
    text = resources.files(technique.package).joinpath("outputs.yaml").read_text(encoding="utf-8")
    # Techniques of one folder share its file.
    folder = [one for one in catalogue.TECHNIQUES if one.package == technique.package]
    models = [entry.name for one in folder for entry in one.models]
    assert sorted(raw["model"] for raw in yaml.safe_load_all(text)) == sorted(models)


@pytest.mark.parametrize("model", model_names())
def test_every_parameter_of_a_model_has_a_row_with_its_unit(model: str) -> None:
    described = get_model(model)
    rows = {row.name: row.unit for row in output_table(model).maps}
    for parameter in (p for p in (*described.parameters, *described.derived) if not p.internal):
        # A model's amplitude is a plain number; BIDS calls the unit of its map arbitrary.
        wanted = "arbitrary" if parameter.name == described.amplitude else parameter.unit
        assert rows[parameter.name] == wanted


@pytest.mark.parametrize("model", model_names())
def test_no_two_images_of_a_model_share_a_name(model: str) -> None:
    table = output_table(model)
    names = [tuple(row.name_parts("lsq").values()) for row in table.every_row()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("model", model_names())
def test_descriptions_are_sentences_and_fractions_say_so(model: str) -> None:
    for row in output_table(model).maps:
        assert row.description[0].isupper()
        assert row.description.endswith(".")
        if row.unit == "1" and row.range is not None and row.range[1] <= 1:
            assert "fraction from 0 to 1" in row.description


def test_t1_has_the_suffix_that_bids_requires() -> None:
    assert output_table("vfa").estimate("t1").name_parts("lsq") == {
        "datatype": "anat",
        "suffix": "T1map",
        "model": None,
        "param": None,
        "desc": "lsq",
    }


def test_sd_keeps_the_unit_and_marks_the_label() -> None:
    table = output_table("ivim")
    assert table.sd("d").unit == table.estimate("d").unit
    assert table.sd("d").name_parts("mle")["desc"] == "mleStd"


def test_what_is_determined_marks_the_label_and_tells_the_rule_with_its_number() -> None:
    row = output_table("ivim").determined("dstar")
    assert (row.unit, row.range) == ("1", (0.0, 1.0))
    assert row.name_parts("mle") == output_table("ivim").estimate("dstar").name_parts("mle") | {
        "desc": "mleDetermined"
    }
    assert "at most 0.5 of that of a guess within the default limits, 0.0281 mm^2/s, and" in row.description
    assert row.description.endswith(".")


@pytest.mark.parametrize(("model", "name"), [("vfa", "m0"), ("noddi", "s0"), ("dki", "s0"), ("tofts", None)])
def test_the_amplitude_is_the_map_in_the_scale_of_the_images(model: str, name: str | None) -> None:
    assert output_table(model).amplitude == name


def test_status_carries_no_param() -> None:
    parts = output_table("etofts").status.name_parts("lsq")
    assert (parts["model"], parts["param"], parts["desc"]) == ("etofts", None, "lsqStatus")


@pytest.mark.parametrize("unit", ["s", "mm^2/s", "1/min", "1", "mmol/L", "1/s", "ms", "L/mmol/s", "rad"])
def test_cmixf_units_are_accepted(unit: str) -> None:
    assert is_cmixf(unit)


@pytest.mark.parametrize("unit", ["", "mm²/s", "mm2/s", "seconds", "/s", "s/", "s s", "%", "min-1", "mm^/s"])
def test_other_spellings_are_refused(unit: str) -> None:
    assert not is_cmixf(unit)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("unit", "mm2/s"),
        ("range", [1, 0]),
        ("range", [1, 1]),
        ("range", [1]),
        ("cmap", "jet"),
        ("colour", "red"),
    ],
)
def test_a_broken_row_is_refused_with_file_and_field(place: str, value: object) -> None:
    raw = raw_table("vfa")
    raw["maps"]["t1"][place] = value
    with pytest.raises(InternalError, match=r"here\.yaml: t1"):
        parse_table(raw, "here.yaml")


def test_unknown_keys_and_missing_keys_of_a_table_are_refused() -> None:
    with pytest.raises(InternalError, match=r"unknown \['colour'\]"):
        parse_table(raw_table("vfa") | {"colour": 1}, "here.yaml")
    raw = raw_table("vfa")
    del raw["rmse"]
    with pytest.raises(InternalError, match=r"missing \['rmse'\]"):
        parse_table(raw, "here.yaml")


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InternalError, match="one of vfa"):
        output_table("magic")
    with pytest.raises(InternalError, match="one of t1, m0"):
        output_table("vfa").estimate("t2")


def test_maps_that_bids_has_no_name_for_are_told_apart() -> None:
    assert unknown_suffixes() == (
        *(
            "b0map",
            "b1map",
            "dcemap",
            "dwimap",
            "irt1map",
            "megremap",
            "mesemap",
            "mp2ragemap",
            "mpmmap",
            "mtrmap",
        ),
        "vfamap",
    )
