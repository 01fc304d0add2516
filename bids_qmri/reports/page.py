"""Fill the HTML templates of reports: everything escaped, style sheet inlined, no request to anywhere."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **content: Any) -> str:
    """Return a page; text from files is escaped.

    Parameters
    ----------
    template
        File name in ``templates``.
    content
        Variables of the template.
    """
    return _environment().get_template(template).render(**content)


def number(value: float | None) -> str:
    """Return a number with four significant digits, ``n/a`` for None."""
    if value is None:
        return "n/a"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def count(many: int, noun: str) -> str:
    """Return ``1 fit`` or ``2 fits``."""
    return f"{many} {noun}{'' if many == 1 else 's'}"


def embed(png: bytes) -> str:
    """Return an image as a data URI, so that a page is one file."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


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
