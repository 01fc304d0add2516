"""Every message is one line: where, what, what is needed, the fix; nothing of it is lost on the way."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_qmri.cli.exit import MEANING
from bids_qmri.errors import InputError, InternalError, NoInputError, QmriError, UsageError

KINDS = (InputError, UsageError, NoInputError, InternalError)
ALL = {
    "file": Path("/data/a.json"),
    "field": "FlipAngle",
    "needed": "degrees above 0",
    "fix": "correct the file",
}
TEXTS = st.text(max_size=40)


def test_the_parts_come_in_the_order_in_which_they_are_read() -> None:
    assert str(InputError("is -3", **ALL)) == (
        "/data/a.json: FlipAngle: is -3; needed: degrees above 0; fix: correct the file."
    )


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "is odd."),
        ({"field": "--t10"}, "--t10: is odd."),
        ({"file": "a.nii"}, "a.nii: is odd."),
        ({"fix": "mend it."}, "is odd; fix: mend it."),
    ],
)
def test_parts_that_are_not_known_leave_no_gap(parts: dict[str, str], text: str) -> None:
    assert str(InputError("is odd", **parts)) == text


@given(seen=TEXTS, field=TEXTS, needed=TEXTS, fix=TEXTS)
def test_whatever_a_file_holds_the_message_is_one_line(**parts: str) -> None:
    text = str(InputError(parts.pop("seen"), **parts))
    assert len(text.splitlines()) == 1
    assert text.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
@given(seen=TEXTS, needed=TEXTS)
def test_a_process_that_raises_loses_nothing(kind: type[QmriError], seen: str, needed: str) -> None:
    error = kind(seen, needed=needed, file=Path("/data/a.json"), field="FlipAngle", fix="mend it")
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is kind
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_every_kind_of_error_has_an_exit_code_of_its_own_that_is_explained() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert set(codes) <= {int(code) for code in MEANING}
