"""Kernels of tracer kinetics that Python calls."""

from __future__ import annotations

from bids_qmri.estimators.compiled.entry import Entry

products_at = Entry(
    "bids_qmri.techniques.dce.products_kernel:products_at",
    (("f2", "f2"), ("d", "d", "d", "d", "d"), ("i", "i"), "d2", "d2", "d2", "d1", "d1", "d3="),
)
