"""Every metric is defined, and the documentation knows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bids_qmri.outputs.tables import is_cmixf
from bids_qmri.qc.definitions import as_text, metric_definitions

KNOWN = metric_definitions({"t1": "s"}, "arbitrary")
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "quality.md"


def test_every_metric_has_a_unit_and_a_sentence_of_its_own() -> None:
    assert all(is_cmixf(metric.units) or metric.units == "arbitrary" for metric in KNOWN.values())
    sentences = [metric.description for metric in KNOWN.values()]
    assert all(not sentence[0].islower() and sentence.endswith(".") for sentence in sentences)
    assert len(set(sentences)) == len(sentences)


def test_agreement_is_defined_with_the_references_that_there_are() -> None:
    assert not [name for name in metric_definitions({"t1": "s"}, "1", ()) if "bias" in name]
    assert metric_definitions({"t1": "s"}, "1", ("mle",))["t1_bias_mle"].units == "s"


@pytest.mark.parametrize(("value", "text"), [(None, "n/a"), (0, "0"), (0.1, "0.1"), (1 / 3, repr(1 / 3))])
def test_what_is_missing_is_n_a_and_numbers_keep_their_digits(value: float | None, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("name", KNOWN)
def test_the_documentation_names_every_metric(name: str) -> None:
    general = re.sub(r"_(lsq|mle)$", "_<reference>", name.replace("t1_", "<map>_"))
    general = re.sub(r"^(n|fraction)_(?!voxels).*", r"\1_<status>", general)
    words = re.findall(r"`([^`]+)`", DOCUMENTATION.read_text(encoding="utf-8"))
    assert general in words or general.replace("<map>", "") in words
