"""The participant's page is complete, self-contained, inert and made from the output folder alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bids_qmri import __version__
from bids_qmri.bids.derivatives import write_map
from bids_qmri.bids.names import derivative_path
from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.page_data import BINS, Histogram, PageData, Trace, page_data_path, write_page_data
from bids_qmri.reports.problems import write_problems
from bids_qmri.reports.subject import SCRIPTS, write_subject_page

from .conftest import WriteFit

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Outline(HTMLParser):
    """Collects tags, identifiers, links and images of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [str(found["id"])] if "id" in found else []
        self.links += [str(found["href"])] if tag == "a" else []
        self.images += [found] if tag == "img" else []


def keep(
    folder: Path,
    kind: str = "median residual",
    region: str = "liver",
    label: str = "time (s)",
    *,
    by: str = "lsq",
    voxel: tuple[int, int, int] = (1, 2, 0),
) -> None:
    """Write what a fit keeps for its page."""
    table = output_table("vfa")
    trace = Trace(kind, voxel, 0.5, {"t1": 1.0}, [0.0, 1.0], [3.0, 2.0], [0.0, 1.0], [3.1, 1.9])
    counts = Histogram(0.0, 3.0, {"whole mask": [1] * BINS, region: [2] * BINS})
    data = PageData(1.25, label, "signal", (trace,), {"t1": counts})
    write_page_data(page_data_path(folder, {"sub": "01"}, table, by), data)


def page(folder: Path, participant: str = "01", **more: object) -> tuple[str, Outline]:
    path = write_subject_page(folder, participant, **more)  # type: ignore[arg-type]
    text = path.read_text(encoding="utf-8")
    return text, Outline(text)


def cells(text: str) -> str:
    """Return a page without what tells the column of a cell on a narrow screen."""
    return re.sub(r' data-label="[^"]*"', "", text)


def test_every_section_is_there_and_every_link_inside_the_page_leads_somewhere(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit()
    _, outline = page(tmp_path)
    assert {"summary", "anat-sub-01", "anat-sub-01-spgr-lsq", "about", "methods", "errors"} <= set(
        outline.ids
    )
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)


def test_the_page_is_one_file_without_requests(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit()
    text, outline = page(tmp_path)
    assert not {"link", "iframe", "object", "embed"} & set(outline.tags)
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in outline.images)
    assert not re.search(r"(src|url)\s*[=(]\s*[\"']?https?:", text)


def test_every_map_is_drawn_with_a_text_for_those_who_cannot_see_it(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit()
    _, outline = page(tmp_path)
    texts = [str(image["alt"]) for image in outline.images]
    assert sum(text.startswith("Slices of") for text in texts) == 5
    assert [text for text in texts if text.startswith("A slice")] == [
        "A slice of T1 by lsq.",
        "A slice of M0 by lsq.",
    ]
    assert any("T1 by lsq, colours from 0 to 3 s" in text for text in texts)
    assert any("sd of T1" in text for text in texts)


def test_figures_lie_where_readers_of_nipreps_look(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit({"sub": "01", "ses": "b"})
    page(tmp_path)
    names = {path.name for path in (tmp_path / "sub-01/figures").iterdir()}
    assert "sub-01_ses-b_desc-lsq_T1map.svg" in names
    assert "sub-01_ses-b_model-spgr_desc-lsqStatus_vfamap.svg" in names


@pytest.mark.parametrize(
    "place",
    [
        *("Notes", "SoftwareVersion", "Mask", "Regions", "Bounds", "problems", "crash"),
        *("Manufacturer", "Sources", "EstimationAlgorithm", "FlipAngle", "page"),
    ],
)
def test_text_from_files_is_inert(tmp_path: Path, write_fit: WriteFit, place: str) -> None:
    values = {"Notes": [EVIL], "SoftwareVersion": EVIL, "Mask": {EVIL: EVIL}, "Regions": {EVIL: {EVIL: EVIL}}}
    values["Bounds"] = {"t1": [EVIL, EVIL], EVIL: EVIL}
    sidecar = {"Manufacturer": EVIL, "Sources": [EVIL], "EstimationAlgorithm": EVIL, "FlipAngle": [EVIL]}
    write_fit(sidecar={place: sidecar[place]} if place in sidecar else {}, **{place: values.get(place)})
    if place == "page":
        keep(tmp_path, kind=EVIL, region=EVIL, label=EVIL)
    (tmp_path / "sub-01" / "log").mkdir(exist_ok=True)
    (tmp_path / "sub-01" / "log" / "crash-<b>.txt").write_text(EVIL)
    text, outline = page(tmp_path, problems=[EVIL] if place in ("problems", "crash") else [])
    assert outline.tags.count("script") == len(SCRIPTS) + 1  # and the colours
    assert "crash-<b>" not in text
    assert "&lt;script&gt;" in text
    assert all("onerror" not in image for image in outline.images)


def test_problems_come_first_and_again_under_errors(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(Notes=["mask was automatic"])
    text, _ = page(tmp_path, problems=["sub-01_VFA: FlipAngle is missing"])
    places = [match.start() for match in re.finditer("FlipAngle is missing", text)]
    assert places[0] < text.index("mask was automatic") < text.index("<table") < places[1]


def test_a_participant_without_any_map_still_gets_a_page(tmp_path: Path) -> None:
    text, outline = page(tmp_path, "02", problems=["nothing worked"])
    assert "nothing worked" in text
    assert "No maps were made" in text
    assert {"about", "methods", "errors"} <= set(outline.ids)


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit()
    assert page(tmp_path)[0] == page(tmp_path)[0]


def test_two_models_with_the_same_entities_do_not_share_an_anchor(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit(model="tensor", label="wls")
    write_fit(model="dki", label="wls")
    write_fit(model="vfa")
    _, outline = page(tmp_path)
    assert {"dwi-sub-01-tensor-wls", "dwi-sub-01-dki-wls", "anat-sub-01-spgr-lsq"} <= set(outline.ids)


def test_missing_images_leave_the_numbers(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(images=False)
    text, outline = page(tmp_path)
    assert outline.images == []
    assert "Median sd" in text


def test_a_fit_that_mostly_fails_is_warned_about(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(Metrics={"fraction_ok": 0.2, "fraction_at_bound": 0.1})
    write_fit(label="mle", Metrics={"fraction_ok": 0.1, "fraction_at_bound": 0.9})
    text, _ = page(tmp_path)
    assert "only 30% of the voxels were estimated" in text
    assert "in 90% of the voxels a parameter lies at its bound" in text


def test_the_versions_of_maps_and_page_are_under_about(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit()
    text, _ = page(tmp_path)
    about = text[text.index('id="about"') :]
    assert "bids_qmri 9.8.7" in about
    assert f"bids_qmri {__version__}, Python" in about


def test_the_summary_says_n_a_for_what_is_missing(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(images=False, Metrics={})
    text, _ = page(tmp_path)
    assert '<td class="number">n/a</td>' in cells(text)


def test_a_foreign_or_broken_quality_file_is_left_out(
    tmp_path: Path, write_fit: WriteFit, caplog: pytest.LogCaptureFixture
) -> None:
    good = write_fit()
    (good.parent / "sub-01_desc-a_model-b_qc.json").write_text("{}")
    (good.parent / "sub-01_model-other_desc-a_qc.json").write_text("{}")
    (good.parent / "sub-01_model-spgr_desc-a_qc.json").write_text("{")
    (good.parent / "sub-01_model-spgr_desc-b_qc.json").write_text(json.dumps([1]))
    text, _ = page(tmp_path)
    assert "1 acquisition, 1 fit" in text
    assert len(caplog.records) == 4


def test_signals_regions_and_times_that_a_fit_kept_are_shown(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(Regions={"liver": {"n_voxels": 12, "t1_median": 0.75}})
    keep(tmp_path)
    text, _ = page(tmp_path)
    assert "Measured and fitted signal of the voxel with median residual" in text
    assert "over whole mask, liver" in text
    assert '<td class="number">1.2 s</td>' in cells(text)
    assert '<th scope="row">liver</th><td class="number">12</td><td class="number">0.75</td>' in cells(text)


def test_what_the_data_do_not_determine_is_grey_and_its_share_is_told(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    known = np.ones(90, dtype=bool)
    known[11:31] = False
    regions = {
        "liver": {"n_voxels": 12, "t1_median": 0.75, "t1_determined": 0.6},
        "cyst": {"n_voxels": 9, "t1_median": 0.5, "t1_determined": 0.25},
        "kidney": {"n_voxels": 8, "t1_median": 0.25, "t1_determined": 1.0},
    }
    write_fit(determined=known, Regions=regions)
    text, outline = page(tmp_path)
    (veil,) = [image for image in outline.images if "veil" in str(image["class"])]
    assert veil["alt"] == "Grey where the data do not determine T1: 25 % of the voxels."
    assert "not determined by the data: 25 %" in text
    assert "Over voxels in which the data determine T1: 74.7 % of those estimated." in text
    assert '<td class="unit">s</td><td class="number">74.7 %</td>' in cells(text)
    for cell in ('number">0.75 <small>(60.0 %)', 'number faint">0.5 <small>(25.0 %)', 'number">0.25</td>'):
        assert f'<td class="{cell}' in cells(text)
    assert "not determined" in (tmp_path / "sub-01/figures/sub-01_desc-lsq_T1map.svg").read_text()


def test_estimators_are_compared_where_the_data_determine_a_map_for_both(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    one, other = np.ones(90, dtype=bool), np.ones(90, dtype=bool)
    one[11:20], other[15:30] = False, False
    write_fit(determined=one)
    write_fit(label="ncde", scale=1.1, determined=other)
    text, _ = page(tmp_path)
    assert "T1 by ncde against lsq: density of 60 voxels" in text
    assert "M0 by ncde against lsq: density of 79 voxels" in text


def test_every_fit_is_folded_with_its_medians_on_top(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit()
    text, outline = page(tmp_path)
    summary = text[text.index('<details id="anat-sub-01-spgr-lsq" class="fit">') :].split("</summary>")[0]
    assert "<b>T1</b> 1.167 s" in summary
    assert "#anat-sub-01-spgr-lsq" in outline.links


def test_a_difference_has_the_sign_and_unit_it_says(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(model="ivim", scale=0.001)
    write_fit(model="ivim", label="ncde", scale=0.0011)
    text, _ = page(tmp_path)
    beside = text[text.index('id="dwi-sub-01-ivim-beside"') :]
    # A tenth of values from 0.33 to 2, in 10⁻³ mm²/s; the median is 1.167.
    assert re.search(
        r"D, ncde minus lsq: bias 0\.11\d*, 95 % of the differences from 0\.03\d* to 0\.19\d* . 10⁻³ mm²/s\.",
        beside,
    )
    assert "<b>D, ncde minus lsq.</b>" in beside


@pytest.mark.parametrize("same", [True, False])
def test_curves_of_all_estimators_are_in_one_diagram_where_they_show_the_same_voxel(
    tmp_path: Path, write_fit: WriteFit, same: bool
) -> None:
    for label in ("lsq", "ncde"):
        write_fit(label=label)
        keep(tmp_path, by=label, voxel=(1, 2, 0) if same or label == "lsq" else (2, 2, 0))
    text, _ = page(tmp_path)
    assert text.count("the curves of all estimators are") == (2 if same else 0)
    assert ("RMSE 0.5 by lsq, RMSE 0.5 by ncde." in text) == same
    assert ("Voxel (2, 2, 0), median residual: RMSE 0.5." in text) != same


def test_a_map_of_one_number_is_said_and_not_drawn(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit()
    row = output_table("vfa").estimate("m0")
    path = tmp_path / derivative_path({"sub": "01"}, extension=".nii.gz", **row.name_parts("lsq"))
    write_map(path, np.full(90, 7.5, dtype=np.float32), (6, 5, 3), np.eye(4), (1, 1, 1))
    text, outline = page(tmp_path)
    assert "M0 is 7.5 arbitrary units in every voxel" in text
    assert not any("map of M0" in str(image["alt"]) for image in outline.images)


def test_diffusivities_are_told_in_one_unit(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(model="ivim", scale=0.001, Regions={"liver": {"n_voxels": 9, "d_median": 0.00123}})
    text, _ = page(tmp_path)
    shown = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    shown = shown[: shown.index('id="methods"')]
    assert "\N{MULTIPLICATION SIGN} 10⁻³ mm²/s" in shown
    assert "1.23</td>" in shown
    assert set(re.findall(r"(10⁻\S)? ?mm²/s", shown)) == {"10⁻³"}


def test_signals_that_were_not_kept_are_missed_aloud(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit()
    assert "signals of this fit were not kept" in page(tmp_path)[0]


def test_a_network_is_compared_with_the_classical_fit_of_the_same_images(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit()
    write_fit(label="ncde", scale=1.1)
    write_fit({"sub": "01", "run": "2"}, label="ncde")
    text, _ = page(tmp_path)
    assert text.count("vfa side by side") == 1
    assert "Bland-Altman plot of T1, ncde minus lsq" in text
    assert re.search(
        r"T1, ncde minus lsq: bias 0\.1\d*, 95 % of the differences from 0\.0\d* to 0\.\d* s\.", text
    )


def test_sessions_can_have_pages_of_their_own(tmp_path: Path, write_fit: WriteFit) -> None:
    for session in ("a", "b"):
        write_fit({"sub": "01", "ses": session})
    _, outline = page(tmp_path, by_session=True)
    assert outline.images == []
    assert {"sub-01_ses-a.html", "sub-01_ses-b.html"} <= set(outline.links)
    of_a = (tmp_path / "sub-01_ses-a.html").read_text(encoding="utf-8")
    assert "anat-sub-01_ses-a" in of_a
    assert "anat-sub-01_ses-b" not in of_a
    assert 'href="sub-01.html"' in of_a


def test_what_the_last_run_left_is_said_again(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit()
    write_problems(tmp_path, "01", ["dwi: bvec is missing"])
    (tmp_path / "sub-01" / "log" / "crash-x.txt").write_text("Traceback: division by zero")
    text, _ = page(tmp_path)
    assert text.count("dwi: bvec is missing") == 2
    assert "Traceback: division by zero" in text
    write_problems(tmp_path, "01", [])
    assert "No errors" in page(tmp_path)[0]


def test_what_nothing_can_fit_is_a_note_and_no_problem(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(Notes=["mask was automatic", "T1 may be wrong by tens of percent"])
    write_problems(tmp_path, "01", [], ["sub-01_T2w: no technique reads it"])
    text, _ = page(tmp_path)
    notes = text[text.index('class="alert remark"') :].split("</div>")[0]
    warnings = text[text.index('class="alert warning"') :].split("</div>")[0]
    assert "sub-01_T2w: no technique reads it" in notes
    assert "mask was automatic" in notes
    assert "may be wrong" in warnings
    assert 'class="alert failure"' not in text
    assert "No errors" in text


def test_every_table_has_a_caption_and_every_picture_a_text(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(Regions={"liver": {"n_voxels": 12}})
    keep(tmp_path)
    _, outline = page(tmp_path)
    assert outline.tags.count("table") == outline.tags.count("caption")
    assert all(image["alt"] for image in outline.images)
