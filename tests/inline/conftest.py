"""A running server on a free loopback port, and series of images that clients send."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from servers import running

from bids_qmri.inline.server import Settings


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Start a server with settings; returns its port."""
    with ExitStack() as servers:
        yield lambda **settings: servers.enter_context(running(Settings(**settings)))


@pytest.fixture
def port(start: Callable[..., int]) -> int:
    return start(threads=2)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the server logged, one string per line."""
    caplog.set_level(logging.INFO, logger="bids_qmri.inline")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "bids_qmri.inline"]
