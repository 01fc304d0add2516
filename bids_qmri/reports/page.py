"""Fill the HTML templates of reports: everything escaped, style sheet inlined, no request to anywhere."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, *, scripts: Sequence[str] = (), **content: Any) -> str:
    """Return a page; text from files is escaped, and no script runs but those named here.

    Parameters
    ----------
    template
        File name in ``templates``.
    scripts
        File names in ``templates`` of what the page runs once it is loaded.
    content
        Variables of the template.
    """
    texts = [_script(name) for name in scripts]
    return (
        _environment()
        .get_template(template)
        .render(scripts=texts, script_sources=[_fingerprint(text) for text in texts], **content)
    )


def number(value: float | None) -> str:
    """Return a number with four significant digits, ``n/a`` for None."""
    if value is None:
        return "n/a"
    if isinstance(value, int):
        return str(value)
    return f"{float(f'{value:.4g}'):.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def percent(share: float) -> str:
    """Return a share as people read it: ``0.0042`` is ``0.42 %``, ``1`` is ``100 %``."""
    return f"{100 * share:.2g} %" if abs(share) < 0.0995 else f"{100 * share:.0f} %"


def count(many: int, noun: str) -> str:
    """Return ``1 fit`` or ``2 fits``."""
    return f"{many} {noun}{'' if many == 1 else 's'}"


def unit_label(units: str, exponent: int = 0) -> str:
    """Return a unit as people read it: ``"mm^2/s"`` with exponent -3 is ``"10⁻³ mm²/s"``."""
    small = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
    head, *powers = units.split("^")
    text = head + "".join(power[:1].translate(small) + power[1:] for power in powers)
    text = {"1": "", "arbitrary": "arbitrary units", "percent": "%"}.get(text, text)
    factor = f"10{str(exponent).translate(small)}" if exponent else ""
    return f"{factor} {text}".strip()


def short_exponent(high: float) -> int:
    """Return the power of ten, a multiple of three, that makes numbers up to `high` short."""
    if high <= 0 or 1e-2 <= high < 1e4:
        return 0
    return 3 * math.floor(math.log10(high) / 3)


_EXPONENTS = {"mm^2/s": -3}
"""Power of ten that people tell a unit in; others are told as they are."""


def shown_exponent(units: str) -> int:
    """Return the power of ten that every number of a unit is told in, so that a page speaks one unit."""
    return _EXPONENTS.get(units, 0)


TIMES = "\N{MULTIPLICATION SIGN} "


def with_unit(text: str, unit: str) -> str:
    """Return numbers and a unit as people write them: ``1.2 × 10⁻³ mm²/s``, ``0.9 s``."""
    return f"{text} {TIMES if unit.startswith('10') else ''}{unit}".strip()


def embed(png: bytes) -> str:
    """Return an image as a data URI, so that a page is one file."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


@cache
def _script(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _fingerprint(script: str) -> str:
    """Return the word by which a content security policy lets one script run."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bids_qmri.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment
