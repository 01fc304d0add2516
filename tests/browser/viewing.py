"""What tests of pages in a browser share: its viewer, what is folded, and what must not be seen."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .conftest import Visit

PARTICIPANT = "sub-abdomen01"

OPEN = "() => document.querySelectorAll('details').forEach((one) => { one.open = true; })"

INVISIBLE = """() => [...document.querySelectorAll("figure img, figure svg")].filter((figure) => {
  const box = figure.getBoundingClientRect();
  return !figure.closest("[hidden]") && (box.width < 50 || box.height < 10 || (figure.naturalWidth ?? 1) < 1);
}).map((figure) => figure.alt || figure.getAttribute("aria-label"))"""

CUT = """() => [...document.querySelectorAll("body *")].filter((one) => {
  if (one.closest("svg, .unseen, .skip, .rows thead") || !one.getClientRects().length) return false;
  const hides = getComputedStyle(one).overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1;
  return hides || one.getBoundingClientRect().right > innerWidth + 1;
}).map((one) => `${one.tagName} ${one.textContent.trim().slice(0, 60)}`)"""

HEADS_CUT = """() => [...document.querySelectorAll(".rows thead th")].filter((one) =>
  getComputedStyle(one.closest("thead")).position !== "absolute" && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.textContent)"""

SPILLED = """() => [...document.querySelectorAll(".chart text")].filter((text) => {
  const [inner, outer] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
  return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1;
}).map((text) => text.textContent)"""


def drawn(seen: Visit) -> None:
    """Wait until every viewer shows its planes."""
    for one in seen.page.locator(".viewer").all():
        one.and_(seen.page.locator("[aria-busy=false]")).wait_for()


def unfold(subject: Visit) -> None:
    subject.page.evaluate(OPEN)


def viewer(seen: Visit, kind: str = "anat", participant: str = PARTICIPANT) -> Any:
    return seen.page.locator(f"section[id='{kind}-{participant}'] .viewer")


def control(shown: Any, name: str) -> Any:
    return shown.locator(f"[data-control={name}]")


def plane(shown: Any, name: str = "axial", of: int = 0) -> Any:
    return shown.locator(f".planes canvas[data-plane={name}]").nth(of)


def state(shown: Any) -> tuple[str, float, list[int], int]:
    """Return name and value of the readout, the voxel, and the slice from 1, once all is drawn."""
    shown.and_(shown.page.locator("[aria-busy=false]")).wait_for()
    text = shown.locator(".readout").inner_text()
    name, value = text.split("\n")[0].split(", square: ")[0].split(": ")
    voxel = [int(part) for part in re.search(r"voxel (\d+), (\d+), (\d+)", text).groups()]  # type: ignore[union-attr]
    number = re.search(r"-?\d[-+\d.e]*", value)
    index = re.search(r"slice (\d+)", text)
    assert index is not None
    return name, float(number.group()) if number else np.nan, voxel, int(index.group(1))
