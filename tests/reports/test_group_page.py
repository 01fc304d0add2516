"""The group page: useful as it is, its data complete and inert, its links right."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_qmri.interfaces.agreement import compare_estimators
from bids_qmri.reports import group_payload
from bids_qmri.reports.group import write_group
from bids_qmri.reports.group_page import SCRIPTS

from .conftest import WriteFit, vouch_for

EVIL = "</script><img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"


def page_of(folder: Path) -> str:
    write_group(folder)
    return (folder / "group_vfa.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def texts(column: dict[str, Any]) -> list[str]:
    many = len(column["levels"])
    kind = "<u1" if many <= 256 else "<u2" if many <= 65536 else "<u4"
    return [column["levels"][code] for code in numbers(column["codes"], kind)]


def study(write_fit: WriteFit, count: int = 8) -> None:
    """Write fits that differ by a percent, and one that is off."""
    for index in range(count):
        write_fit({"sub": f"{index:02d}"}, images=False, scale=1 + index / 100)
    write_fit({"sub": "odd"}, images=False, scale=5)


def test_without_script_points_lead_to_pages_and_outliers_are_ringed_and_named(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    study(write_fit)
    page = page_of(tmp_path)
    assert '<a href="sub-odd.html"><circle class="outlier"' in page
    assert '<a href="sub-03.html"><circle class="point"' in page
    assert "T1, M0, RMSE" in page
    assert "9 fits of 9 participants, 1 with outliers" in page


def test_of_many_fits_the_page_without_script_names_those_with_outliers(
    tmp_path: Path, write_fit: WriteFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bids_qmri.reports.group_page.MOST_ROWS", 5)
    monkeypatch.setattr("bids_qmri.reports.group_figures.MOST_POINTS", 5)
    study(write_fit)
    page = page_of(tmp_path)
    assert set(re.findall(r'<a href="(sub-.*?)"', page)) == {"sub-odd.html"}


def test_the_data_are_those_of_the_table(tmp_path: Path, write_fit: WriteFit) -> None:
    study(write_fit, 3)
    data = data_of(page_of(tmp_path))
    assert texts(data["labels"]["participant_id"]) == ["sub-00", "sub-01", "sub-02", "sub-odd"]
    assert texts(data["pages"]) == ["sub-00.html", "sub-01.html", "sub-02.html", "sub-odd.html"]
    t1 = next(metric for metric in data["metrics"] if metric["name"] == "t1_median")
    expected = [
        json.loads(path.read_text())["Metrics"]["t1_median"] for path in sorted(tmp_path.rglob("*_qc.json"))
    ]
    np.testing.assert_allclose(numbers(t1["values"], "<f4"), expected, rtol=1e-6)
    assert (t1["unit"], t1["set"]) == ("s", "Medians")


def test_fits_can_be_split_by_columns_of_participants_that_have_groups_or_numbers(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    study(write_fit)
    lines = ["participant_id\tsite\tage\tnote\tsame"]
    lines += [f"sub-{index:02d}\t{'AB'[index % 2]}\t{20 + index}\tx{index}\t1" for index in range(8)]
    (tmp_path / "participants.tsv").write_text("\n".join(lines) + "\n")
    people = {column["name"]: column for column in data_of(page_of(tmp_path))["people"]}
    assert set(people) == {"site", "age", "note"}
    assert texts(people["site"]) == [*"ABABABAB", "n/a"]
    age = numbers(people["age"]["values"], "<f4")
    assert age[:8].tolist() == list(range(20, 28))
    assert np.isnan(age[8])


def test_metrics_that_do_not_fit_are_left_to_the_table_and_named(
    tmp_path: Path, write_fit: WriteFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_payload, "LARGEST", 1)
    study(write_fit)
    page = page_of(tmp_path)
    shown = [metric["name"] for metric in data_of(page)["metrics"]]
    assert shown[:2] == ["t1_median", "m0_median"]
    assert len(shown) == 6
    assert "t1_iqr" in page[page.index("more than fit into this page") :]


def test_only_scripts_of_ours_may_run_and_nothing_is_requested(tmp_path: Path, write_fit: WriteFit) -> None:
    study(write_fit)
    page = page_of(tmp_path)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy.group(1)
    assert "unsafe-inline" not in policy.group(1).split("script-src")[1]
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


@pytest.fixture
def attacked(tmp_path: Path, write_fit: WriteFit) -> Path:
    """Return a page of files whose text tries to become part of it."""
    study(write_fit)
    write_fit({"sub": "evil"}, images=False, Regions={EVIL: {"t1_median": 1.0}}, Notes=[EVIL])
    header = f"participant_id\tsite\t{EVIL}\n"
    (tmp_path / "participants.tsv").write_text(f"{header}sub-evil\t{EVIL}\t1\nsub-00\tB\t2\n")
    (tmp_path / "sub-evil" / "anat" / f"{EVIL.replace('/', '')}_qc.json").write_text("{}")
    page_of(tmp_path)
    return tmp_path / "group_vfa.html"


def test_text_of_files_stays_text(attacked: Path) -> None:
    page = attacked.read_text(encoding="utf-8")
    assert "<img" not in page
    assert page.count("<script") == 1 + len(SCRIPTS)
    site = next(column for column in data_of(page)["people"] if column["name"] == "site")
    assert EVIL[:80] in site["levels"]


def test_the_browser_draws_the_page_and_runs_nothing_of_the_files(attacked: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs a Chromium")
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        "--enable-logging=stderr",
    ]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    found = subprocess.run(
        [*command, profile, attacked.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert [line for line in found.stderr.splitlines() if "CONSOLE" in line] == []
    assert "data-ready" in found.stdout
    assert "<title>T1 from variable flip angles - group</title>" in found.stdout
    assert found.stdout.count("<canvas") == 2
    assert found.stdout.count('<th scope="row"><a href="sub-') >= 10


@pytest.fixture
def two_estimators(tmp_path: Path, write_fit: WriteFit) -> Path:
    """Return results of two estimators that agree in every voxel, of which one determines the larger half."""
    larger = np.arange(90) >= 50
    for index in range(6):
        sub = {"sub": f"{index:02d}"}
        write_fit(sub, scale=1 + index / 100, determined=np.ones(90, dtype=bool))
        write_fit(sub, label="ncde", scale=1 + index / 100, determined=larger)
        compare_estimators(tmp_path, sub["sub"])
        vouch_for(tmp_path, sub["sub"])
    return tmp_path


def test_estimators_that_agree_have_one_median_over_the_same_voxels(two_estimators: Path) -> None:
    page = page_of(two_estimators)
    data = data_of(page)
    estimators = np.array(texts(data["labels"]["estimator"]))
    medians = {metric["name"]: numbers(metric["values"], "<f4") for metric in data["metrics"]}
    own, common = (
        {name: medians[f"t1_{key}"][estimators == name] for name in ("lsq", "ncde")}
        for key in ("median", "common_median")
    )
    assert np.all(own["ncde"] > 1.2 * own["lsq"])
    np.testing.assert_array_equal(common["lsq"], common["ncde"])
    np.testing.assert_array_equal(medians["t1_common_voxels"], 40)


def test_the_page_opens_with_the_comparison_and_says_of_how_many_voxels(two_estimators: Path) -> None:
    page = page_of(two_estimators)
    assert data_of(page)["metrics"][0]["set"] == "Medians, same voxels"
    figures = page[page.index('id="figures"') : page.index('id="fits"')]
    assert "40 voxels in common" in figures
    assert re.findall(r'class="beside">(\d+ % determined)', figures)[:2] == [
        "100 % determined",
        "51 % determined",
    ]


def test_where_a_scan_has_one_estimator_the_page_opens_with_medians_of_all_scans(
    two_estimators: Path, write_fit: WriteFit
) -> None:
    write_fit({"sub": "alone"})
    page = page_of(two_estimators)
    metrics = data_of(page)["metrics"]
    assert metrics[0]["set"] == "Medians"
    assert {"Medians", "Medians, same voxels"} <= {metric["set"] for metric in metrics}
    figures = page[page.index('id="figures"') : page.index('id="fits"')]
    assert 'href="sub-alone.html"' in figures
    assert "scans with one estimator have none" in page


def test_a_study_of_one_estimator_compares_nothing(tmp_path: Path, write_fit: WriteFit) -> None:
    study(write_fit)
    page = page_of(tmp_path)
    assert data_of(page)["metrics"][0]["set"] == "Medians"
    assert "same voxels" not in page[: page.index("<script")]
