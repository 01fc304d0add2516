"""The participant's page is complete, self-contained, inert and made from the output folder alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bids_qmri import __version__
from bids_qmri.reports.subject import write_subject_page

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


def page(folder: Path, participant: str = "01", **more: object) -> tuple[str, Outline]:
    path = write_subject_page(folder, participant, **more)  # type: ignore[arg-type]
    text = path.read_text(encoding="utf-8")
    return text, Outline(text)


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


def test_the_page_is_one_file_without_scripts_or_requests(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit()
    text, outline = page(tmp_path)
    assert not {"script", "link", "iframe"} & set(outline.tags)
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in outline.images)
    assert not re.search(r"(src|url)\s*[=(]\s*[\"']?https?:", text)


def test_every_map_is_drawn_with_a_text_for_those_who_cannot_see_it(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit()
    _, outline = page(tmp_path)
    texts = [str(image["alt"]) for image in outline.images]
    assert len(texts) == 5
    assert any("T1 by lsq, colours from 0 to 3 s" in text for text in texts)
    assert any("sd of T1" in text for text in texts)


def test_figures_lie_where_readers_of_nipreps_look(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit({"sub": "01", "ses": "b"})
    page(tmp_path)
    names = {path.name for path in (tmp_path / "sub-01/figures").iterdir()}
    assert "sub-01_ses-b_desc-lsq_T1map.png" in names
    assert "sub-01_ses-b_model-spgr_desc-lsqStatus_vfamap.png" in names


@pytest.mark.parametrize("place", ["Notes", "SoftwareVersion", "Mask", "problems", "Manufacturer", "Sources"])
def test_text_from_files_is_inert(tmp_path: Path, write_fit: WriteFit, place: str) -> None:
    values = {"Notes": [EVIL], "SoftwareVersion": EVIL, "Mask": {EVIL: EVIL}}
    sidecar = {"Manufacturer": EVIL, "Sources": [EVIL]}
    write_fit(sidecar={place: sidecar[place]} if place in sidecar else {}, **{place: values.get(place)})
    text, outline = page(tmp_path, problems=[EVIL] if place == "problems" else [])
    assert "script" not in outline.tags
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
    assert '<td class="number">n/a</td>' in text


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
