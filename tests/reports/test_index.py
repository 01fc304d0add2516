"""The first page of an output folder leads to all others, and says who is not complete."""

from __future__ import annotations

import re
from pathlib import Path

from bids_qmri.reports.index import write_index
from bids_qmri.reports.subject import write_subject_page

from .conftest import WriteFit


def test_everybody_is_listed_with_state_and_page(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit({"sub": "01"}, images=False)
    (tmp_path / "sub-01.html").write_text("page")
    (tmp_path / "group_vfa.html").write_text("page")
    (tmp_path / "sub-02" / "log").mkdir(parents=True)
    (tmp_path / "sub-02" / "log" / "completion.json").write_text("<b>")
    text = write_index(tmp_path, ["03"]).read_text(encoding="utf-8")
    assert '<a href="sub-01.html">sub-01</a>' in text
    assert "3 participants: 1 complete, 1 damaged, 1 missing" in text
    assert '<a href="group_vfa.html">T1 from variable flip angles</a>' in text
    assert "<b>" not in text.replace("<body>", "")


def test_an_empty_folder_has_a_page_too(tmp_path: Path) -> None:
    assert "Nobody yet." in write_index(tmp_path).read_text(encoding="utf-8")


def test_everybody_is_listed_with_the_number_of_warnings_of_their_page(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    doubtful = {"Notes": ["no B1+ map: nominal flip angles are used", "T1 may be wrong"]}
    write_fit({"sub": "01"}, **doubtful)
    write_fit({"sub": "02"}, Notes=["read as percent"])
    for label in ("01", "02"):
        write_subject_page(tmp_path, label)
    text = write_index(tmp_path).read_text(encoding="utf-8")
    [warned] = re.findall(r'<a href="sub-01.html#summary">(\d+) warnings</a>', text)
    page = (tmp_path / "sub-01.html").read_text(encoding="utf-8")
    told = page[page.index("<strong>Please read") : page.index("</ul>", page.index("<strong>Please read"))]
    assert int(warned) == told.count("<li>") >= 2
    assert "sub-02.html#summary" not in text
