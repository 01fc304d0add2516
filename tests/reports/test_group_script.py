"""What the script of the group page does, driven inside a browser from the disk."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_qmri.interfaces.agreement import compare_estimators
from bids_qmri.reports.group import write_group

from .conftest import WriteFit, vouch_for

ACTIONS = """{
const seen = {};
const choose = (id, text) => {
  const select = document.getElementById(id);
  select.value = [...select.options].find((one) => one.textContent === text).value;
  select.dispatchEvent(new Event("change"));
};
const filter = (text) => { document.getElementById("filter").value = text; update(); };
const labels = () => panels.all[0].lanes.map((lane) => `${lane.label}: ${lane.rows.length}`);
const shown = () => document.getElementById("shown").textContent;
const all = (selector) => [...document.querySelectorAll(selector)];
const firstRows = () => all("#rows tbody th").slice(0, 3).map((one) => one.textContent);
const press = (panel, key) => panel.cursor.dispatchEvent(new KeyboardEvent("keydown", { key }));

seen.all = shown();
seen.lanes = labels();
seen.hidden = ["figures", "list"].map((id) => getComputedStyle(document.getElementById(id)).display);
seen.noRegions = getComputedStyle(document.getElementById("region").closest("label")).display;
for (const panel of panels.all) panel.draw();
const panel = panels.all[0];
panel.focused();
press(panel, "End");
seen.highest = [panel.cursor.getAttribute("href"), panel.cursor.getAttribute("aria-label")];
press(panel, "ArrowLeft");
seen.second = panel.cursor.getAttribute("href");
const { left, top } = panel.body.getBoundingClientRect();
const point = panel.points.find((one) => labelOf("participant_id", one.row) === "sub-03");
panel.hide();
panel.follow({ clientX: left + point.x + 2, clientY: top + point.y });
seen.under = panel.cursor.getAttribute("href");
choose("split", "site");
seen.split = labels();
choose("split", "age");
seen.quarters = labels();
choose("split", "estimator");
filter("sub-03");
seen.word = shown();
filter("t1_median > 2 odd");
seen.condition = [shown(), firstRows()];
filter("t1_median < 1.17 fog < 3");
seen.unknown = shown();
filter("");
document.getElementById("flagged").checked = true;
update();
seen.flagged = firstRows();
document.getElementById("flagged").checked = false;
update();
const sort = (text) => all("#rows thead button").find((one) => one.textContent === text).click();
sort("T1 (s)");
seen.ascending = firstRows();
sort("T1 (s)");
seen.descending = firstRows();
seen.sorted = document.querySelector("#rows [aria-sort]").getAttribute("aria-sort");
choose("set", "Fit");
seen.fit = panels.all.map((one) => one.metric.name).slice(0, 2);
document.body.dataset.seen = JSON.stringify(seen);
}"""


EXPECTED = {
    "all": "9 of 9 fits",
    "lanes": ["lsq: 9"],
    "hidden": ["none", "none"],
    "noRegions": "none",
    "highest": ["sub-odd.html", "sub-odd lsq: 5.837 s"],
    "second": "sub-07.html",
    "under": "sub-03.html",
    "split": ["A: 4", "B: 4", "n/a: 1"],
    "quarters": ["20 to 21.75: 2", "21.75 to 23.5: 2", "23.5 to 25.25: 2", "25.25 to 27: 2", "n/a: 1"],
    "word": "1 of 9 fits",
    "condition": ["1 of 9 fits", ["sub-odd"]],
    "unknown": "1 of 9 fits; no metric is called fog",
    "flagged": ["sub-odd"],
    "ascending": ["sub-00", "sub-01", "sub-02"],
    "descending": ["sub-odd", "sub-07", "sub-06"],
    "sorted": "descending",
    "fit": ["fraction_ok", "fraction_at_bound"],
}


def test_points_filters_splits_and_sorting_do_what_they_say(tmp_path: Path, write_fit: WriteFit) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs a Chromium")
    lines = ["participant_id\tsite\tage"]
    for index in range(8):
        write_fit({"sub": f"{index:02d}"}, images=False, scale=1 + index / 100)
        lines.append(f"sub-{index:02d}\t{'AB'[index % 2]}\t{20 + index}")
    write_fit({"sub": "odd"}, images=False, scale=5)
    (tmp_path / "participants.tsv").write_text("\n".join(lines) + "\n")
    write_group(tmp_path)
    assert drive(browser, tmp_path / "group_vfa.html", tmp_path / "profile", ACTIONS) == EXPECTED


COMPARED = """{
const [panel] = panels.all;
const people = (rows) => [...new Set(Array.from(rows, (row) => labelOf("participant_id", row)))];
document.body.dataset.seen = JSON.stringify({
  set: SETS[0],
  caption: panel.root.querySelector("figcaption").textContent,
  beside: panel.lanes.map((lane) => `${lane.label}: ${panel.beside(lane)}`),
  ringed: people(outliersOf(panel.metric)),
  flagged: study.metrics.filter((one) => [...flagsByRow.values()].flat().includes(one)).map((one) => one.name)
    .filter((name) => name.startsWith("t1_")),
  table: tableText().split("\\n")[0].split("\\t").slice(0, 4),
});
}"""


def test_estimators_are_compared_with_what_qualifies_their_numbers(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs a Chromium")
    for index in range(9):
        label = "odd" if index == 8 else f"{index:02d}"
        scale = 5 if index == 8 else 1 + index / 100
        for estimator, first in (("lsq", 0), ("ncde", 50)):
            known = np.arange(90) >= first
            write_fit({"sub": label}, label=estimator, scale=scale, determined=known)
        compare_estimators(tmp_path, label)
        vouch_for(tmp_path, label)
    write_group(tmp_path)
    assert drive(browser, tmp_path / "group_vfa.html", tmp_path / "profile", COMPARED) == {
        "set": "Medians, same voxels",
        "caption": "T1 (s) 40 voxels in common",
        "beside": ["lsq: 100 % determined", "ncde: 51 % determined"],
        "ringed": ["sub-odd"],
        "flagged": ["t1_median"],
        "table": ["participant_id", "estimator", "outlier_in", "t1_common_median"],
    }


def drive(browser: str, path: Path, profile: Path, actions: str) -> dict[str, Any]:
    """Run the actions at the end of a page and return what they saw."""
    page = path.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(actions.encode()).digest()).decode()
    page = page.replace("script-src ", f"script-src 'sha256-{digest}' ")
    path.write_text(page.replace("</body>", f"<script>{actions}</script></body>"), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    found = subprocess.run(
        [*command, f"--user-data-dir={profile}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert [line for line in found.stderr.splitlines() if "CONSOLE" in line] == []
    text = re.search(r'data-seen="(.*?)"', found.stdout)
    assert text is not None
    result: dict[str, Any] = json.loads(html.unescape(text.group(1)))
    return result
