"""The methods text says what was run, nothing else, and cites it."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from bids_qmri import catalogue
from bids_qmri.catalogue import model_names
from bids_qmri.errors import InternalError
from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.methods import Methods, describe_methods, write_citation


def keys(runs: list[tuple[str, str]]) -> set[str]:
    return {work.key for work in describe_methods(runs).works}


def test_only_what_was_run_is_described() -> None:
    text = describe_methods([("vfa", "lsq")]).markdown()
    assert "flip angles" in text
    for absent in ("intravoxel", "Tofts", "dipy", "kurtosis"):
        assert absent not in text


def test_every_run_is_described_once() -> None:
    text = describe_methods([("vfa", "lsq"), ("ivim", "lsq"), ("vfa", "lsq")]).markdown()
    assert text.count("Levenberg and Marquardt") == 1
    assert text.count("flip angles with") == 1


def test_versions_are_those_installed() -> None:
    text = describe_methods([("dti", "wls")]).markdown()
    assert f"dipy {metadata.version('dipy')}" in text
    assert f"bids_qmri {metadata.version('bids_qmri')}" in text


@pytest.mark.parametrize("model", model_names())
def test_the_publication_of_every_model_is_cited(model: str) -> None:
    dois = {work.plain("doi") for work in describe_methods([(model, "lsq")]).works}
    assert output_table(model).reference.doi in dois


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("lsq", "marquardt1963"),
        ("mle", "gudbjartsson1995"),
        ("restore", "chang2005"),
        ("dipyVarpro", "farooq2016"),
    ],
)
def test_the_publication_of_an_estimator_is_cited(label: str, key: str) -> None:
    assert key in keys([("ivim", label)])


def test_every_label_that_can_be_asked_for_is_described() -> None:
    for model, labels in ((entry.name, entry.estimators) for _, entry in catalogue.entries()):
        methods = describe_methods([(model, label) for label in labels])
        # an introduction, the model, one paragraph per estimator, the software
        assert len(methods.paragraphs) == len(labels) + 3


def test_no_citation_or_version_is_left_unresolved() -> None:
    text = describe_methods(
        [(model, label) for model in model_names() for label in ("lsq", "mle", "bayes", "wls")]
    ).markdown()
    assert "[@" not in text
    assert "{" not in text
    assert "\\" not in text


def test_citations_name_authors_as_the_field_does() -> None:
    text = describe_methods([("vfa", "mle")]).markdown()
    assert "(Fram et al., 1987; Deoni et al., 2003)" in text
    assert "(Gudbjartsson and Patz, 1995; Sijbers et al., 1998)" in text


def test_an_undescribed_estimator_is_our_error() -> None:
    with pytest.raises(InternalError, match="no sentence describes magic"):
        describe_methods([("vfa", "magic")])


def test_files_for_papers_hold_the_same_references(tmp_path: Path) -> None:
    paths = write_citation(tmp_path, [("vfa", "lsq")])
    assert [path.suffix for path in paths] == [".md", ".html", ".tex", ".bib"]
    markdown, html, tex, bib = (path.read_text(encoding="utf-8") for path in paths)
    for work in describe_methods([("vfa", "lsq")]).works:
        assert work.url in markdown
        assert f"{{{work.key}," in bib
        assert work.plain("doi") in html
        assert re.search(rf"\\citep{{[^}}]*\b{work.key}\b", tex)


def test_latex_reads_nothing_of_the_text_as_a_command() -> None:
    text = Methods((), (), (r"100 % of a_b & {c} \ ~ ^ # $ [@fram1987; @deoni2003]",)).latex()
    assert r"100 \% of a\_b \& \{c\} \textbackslash{} \textasciitilde{} \textasciicircum{} \# \$ " in text
    assert r"\citep{fram1987,deoni2003}" in text
