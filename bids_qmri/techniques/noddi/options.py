"""The diffusivities of NODDI on the command line, both at once; ``--set noddi.d_par=…`` sets one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_qmri.options import Option, number

SLOWEST, FASTEST = 1e-4, 1e-2
"""Diffusivities of water in mm^2/s that can be meant; others are in another unit."""

TITLE = "NODDI"

OPTIONS = (
    Option(
        "--noddi-diffusivities",
        number(float, lambda d: SLOWEST <= d <= FASTEST, f"mm^2/s, {SLOWEST:g} to {FASTEST:g}"),
        ("DPAR", "DISO"),
        "along neurites and of free water, mm^2/s; default: 0.0017 0.003 (in vivo)",
        nargs=2,
    ),
)


def settings(given: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the settings of models that the option stands for."""
    pair = given.get(OPTIONS[0].name)
    return {} if pair is None else {"noddi": {"d_par": pair[0], "d_iso": pair[1]}}
