"""What libraries read from the environment at import; must be set before any of them is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

QUIET = {
    "NO_ET": "1",
    "NIPYPE_NO_ET": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Switches that keep libraries from contacting anyone."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
"""Libraries read it when they are imported: threads are those of blocks of voxels (`estimators.threads`), and
more inside each of them would only stand in each other's way."""


def environment(current: Mapping[str, str], work_dir: Path) -> dict[str, str]:
    """Return the variables to set for a run.

    Parameters
    ----------
    current
        The environment as it is.
    work_dir
        Holds the caches of libraries where the home directory cannot.
    """
    changes = QUIET | ONE_THREAD
    if not current.get("LOGNAME"):
        # nipype names crash files after the user, who has no name under an arbitrary uid in a container
        changes["LOGNAME"] = current.get("USER") or "bids_qmri"
    if not _usable_home(current):
        home = work_dir / "home"
        changes |= {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
        }
        changes["MPLCONFIGDIR"] = str(home / "matplotlib")
    return changes


def _usable_home(current: Mapping[str, str]) -> bool:
    home = current.get("HOME", "")
    return bool(home) and Path(home).is_dir() and os.access(home, os.W_OK)
