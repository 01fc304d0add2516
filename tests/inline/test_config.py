"""What hosts may ask for, in the words and spellings that they use."""

from __future__ import annotations

import json

import pytest

from bids_qmri.errors import InputError
from bids_qmri.inline.config import Shelf, named, parse_values


def test_names_are_models_and_methods():
    config = Shelf().config("ivim-lsq", {})
    assert (config.model, config.estimator, config.send_original) == ("ivim", "lsq", False)
    assert {"noddi-nnmle", "noddi-ncde", "vfa-ncde", "etofts-ncde", "ivim-bayes"} <= named().keys()


def test_a_text_overrides_the_name_as_open_hosts_do():
    values = parse_values('{"version": "1.1.0", "parameters": {"config": "vfa-lsq", "sendOriginal": "True"}}')
    config = Shelf().config("ivim-lsq", values)
    assert (config.model, config.send_original) == ("vfa", True)


def test_hosts_that_name_none_get_the_fallback():
    assert Shelf(fallback="vfa-lsq").config("", {"options": ""}).model == "vfa"


def test_numbers_and_lists_may_be_text():
    values = {"sigma": "2.5", "maps": "t1, status", "bounds": {"t1": [0.1, "5"]}, "mask": "false"}
    config = Shelf().config("vfa-lsq", values)
    assert (config.sigma, config.maps, config.mask) == (2.5, ("t1", "status"), False)
    assert config.bounds == {"t1": (0.1, 5.0)}


def test_files_of_the_server_are_named_without_a_path(tmp_path):
    (tmp_path / "liver.json").write_text(json.dumps({"parameters": {"model": "ivim", "method": "lsq"}}))
    (tmp_path / "own.onnx").write_bytes(b"")
    shelf = Shelf(configs=tmp_path, networks=tmp_path)
    assert shelf.config("liver", {}).model == "ivim"
    assert shelf.config("ivim-mlp", {"method": "mlp", "model": "ivim", "config": "liver", "network": "own"})
    for name in ("../liver", str(tmp_path / "liver"), "liver\0", "a" * 1000, "/etc/passwd"):
        with pytest.raises(InputError, match=r"no configuration is called|no network is called"):
            shelf.config(name, {})
        with pytest.raises(InputError, match="no network is called"):
            shelf.config("liver", {"network": name, "method": "mlp"})


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("invertcontrast", {}, "no configuration is called 'invertcontrast'.*vfa-lsq"),
        ("vfa-lsq", {"colour": "red"}, "colour: is not known"),
        ("vfa-lsq", {"sigma": "loud"}, "sigma: is 'loud'"),
        ("vfa-lsq", {"sigma": -1}, "sigma: is '-1'"),
        ("vfa-lsq", {"mask": "perhaps"}, "true or false"),
        ("vfa-lsq", {"model": "t2"}, "one of vfa, ivim"),
        ("vfa-lsq", {"method": "guess"}, "one of lsq, mle"),
        ("vfa-lsq", {"attributes": {"colour": "x"}}, "names of attributes by quantity"),
        ("vfa-lsq", {"bounds": [1, 2]}, r"\[low, high\]"),
        ("vfa-lsq", {"bounds": {"ktrans": [0, 1]}}, "no parameter 'ktrans'.*some of t1"),
        ("vfa-lsq", {"bounds": {"t1": [100, 5000]}}, r"t1 from 100 to 5000.*within 0\.01 and 10"),
        ("noddi-lsq", {"bounds": {"odi": [0.9, 0.1]}}, "lower one first"),
        ("noddi-lsq", {"bounds": {"ndi": [float("nan"), 1]}}, "two numbers"),
        ("noddi-lsq", {"d_par": 1.7}, r"d_par: is 1\.7; needed: 0\.0001 to"),
        ("vfa-lsq", {"sigma": 10**400}, "sigma: is '1000"),
        ("vfa-lsq", {"method": "mlp"}, "network"),
        ("etofts-lsq", {}, "t10: is missing"),
        ("etofts-lsq", {"t10": 1, "relaxivity": 4, "hematocrit": 0.4, "aif": "x"}, "aif: is 'x'"),
        ("etofts-lsq", {"t10": 1200, "relaxivity": 4, "hematocrit": 0.4}, "t10: is 1200.* s"),
        ("etofts-lsq", {"t10": 1, "relaxivity": 4, "hematocrit": 42}, "hematocrit: is 42.*fraction"),
        ("etofts-lsq", {"t10": 1, "relaxivity": 4500, "hematocrit": 0.4}, "relaxivity: is 4500"),
    ],
)
def test_what_cannot_be_done_is_said(name, values, says):
    with pytest.raises(InputError, match=says):
        Shelf().config(name, values)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "[" * 100_000])
def test_texts_that_are_no_object_are_refused(text):
    with pytest.raises(InputError, match="configuration"):
        parse_values(text)
