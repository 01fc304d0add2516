"""From acquisitions to jobs, from jobs to maps, and workflows for other pipelines (`builders`).

``init_vfa_wf`` and its kind are found here: ``from bids_qmri.workflows import init_noddi_wf``.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("init_") and name.endswith("_wf"):
        from bids_qmri.workflows import builders

        return getattr(builders, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
