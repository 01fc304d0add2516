"""Permissions that bind whoever runs the tests, root included."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

OVERRIDE = 1 << 1 | 1 << 2
"""Capabilities of Linux to write and read what permissions forbid."""

VERSION = 0x20080522


@contextmanager
def binding() -> Iterator[None]:
    """Let permissions bind this thread while it lasts; skip the test where that cannot be had."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    head, data = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    if not hasattr(libc, "capset") or libc.capget(head, data):
        pytest.skip("permissions do not bind root here")
    before = data[0]
    data[0] = before & ~OVERRIDE
    if libc.capset(head, data):
        pytest.skip("permissions do not bind root here")
    try:
        yield
    finally:
        data[0] = before
        libc.capset(head, data)
