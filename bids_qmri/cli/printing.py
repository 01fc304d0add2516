"""Print what a command found, whoever reads it, and however far."""

from __future__ import annotations

import os
import sys


def print_text(text: str) -> None:
    """Print a text; that nobody reads on, as in a pipe to ``head``, is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        # What Python would say of it at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
