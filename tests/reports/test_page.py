"""Templates escape, numbers are short, mistakes in templates are loud."""

from __future__ import annotations

import base64
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from bids_qmri.reports.methods import Methods
from bids_qmri.reports.page import count, embed, number, percent, render


@given(st.floats(-1e30, 1e30))
def test_numbers_keep_four_digits(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=5e-4)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "n/a"), (0, "0"), (123456, "123456"), (0.00012345, "0.0001234")]
)
def test_counts_are_whole_and_missing_numbers_are_named(value: float | None, text: str) -> None:
    assert number(value) == text


def test_nouns_follow_their_number() -> None:
    assert [count(many, "fit") for many in (0, 1, 2)] == ["0 fits", "1 fit", "2 fits"]


@given(st.binary(max_size=50))
def test_embedded_images_decode_to_their_bytes(png: bytes) -> None:
    assert base64.b64decode(embed(png).split(",")[1]) == png


@given(st.text(max_size=30))
def test_no_text_can_open_a_tag(text: str) -> None:
    page = render("citation.html", methods=Methods((f"<b>{text}",), ()))
    assert "<b>" not in page


def test_a_variable_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="methods"):
        render("citation.html")


def test_the_style_asks_nothing_of_the_network_and_knows_dark_and_narrow_screens() -> None:
    style = resources.files("bids_qmri.reports").joinpath("templates/style.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style
    for feature in ("prefers-color-scheme: dark", "max-width: 720px", "@media print", ":focus-visible"):
        assert feature in style


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.996, "100 %"), (0.546, "55 %"), (0.0042, "0.42 %"), (0.0, "0 %")]
)
def test_shares_are_written_without_powers_of_ten(share: float, text: str) -> None:
    assert percent(share) == text
