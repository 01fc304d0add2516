"""Attributes of images: small XML documents of names and values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from xml.etree import ElementTree

from bids_qmri.errors import InputError

Meta = dict[str, list[str]]
"""Values by name, in the order of the document."""

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse_xml(content: bytes) -> ElementTree.Element:
    """Parse a document of a stranger.

    Raises
    ------
    ValueError
        If it is no XML, or declares a document type, through which entities could grow without limit.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("it declares a document type")
    try:
        return ElementTree.fromstring(content)
    # ValueError, LookupError: an encoding that Python does not have.
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(str(error)) from error


def parse_meta(content: bytes) -> Meta:
    """Read the attributes of an image; none at all if they are empty.

    Raises
    ------
    InputError
        If they are not ``<ismrmrdMeta>`` of ``<meta>`` with a ``<name>`` and ``<value>``s.
    """
    if not content.strip():
        return {}
    try:
        root = parse_xml(content)
    except ValueError as error:
        raise InputError(
            f"attributes of an image are no XML ({error})", needed="<ismrmrdMeta> of <meta> elements"
        ) from error
    found: Meta = {}
    for entry in root.iter("meta"):
        name = entry.findtext("name")
        if name:
            found.setdefault(name, []).extend(value.text or "" for value in entry.findall("value"))
    return found


def format_meta(meta: Mapping[str, str | Sequence[str]]) -> bytes:
    """Write attributes; what XML cannot hold is left out."""
    root = ElementTree.Element("ismrmrdMeta")
    for key, values in meta.items():
        entry = ElementTree.SubElement(root, "meta")
        ElementTree.SubElement(entry, "name").text = _ILLEGAL.sub("", key)
        for value in [values] if isinstance(values, str) else values:
            ElementTree.SubElement(entry, "value").text = _ILLEGAL.sub("", value)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


@lru_cache(maxsize=1024)
def plain(name: str) -> str:
    """Return a name without capitals, underscores, dots and the like, so that spellings meet.

    Examples
    --------
    >>> plain("DICOM.B_value") == plain("dicom b-value")
    True
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())
