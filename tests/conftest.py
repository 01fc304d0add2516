"""Fixtures that many tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """Raise where a test would leave this machine; local sockets stay allowed."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if host not in (None, "", *LOOPBACK):
        raise RuntimeError(f"a test tried to reach {host}")


sys.addaudithook(_refuse_network)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real and reference data, or skip with the reason why it cannot be tested."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("BIDS_QMRI_SHARED", beside))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set BIDS_QMRI_SHARED to its folder")
    return folder
