"""Kernels of NODDI that Python calls."""

from __future__ import annotations

from bids_qmri.estimators.compiled.entry import Entry

SCAN = ("d2", "d3", "i1", "d3")
"""What a protocol is to kernels: `scan`, `sticks`, `ends` and `table`."""

minimise = Entry(
    "bids_qmri.techniques.noddi.fit_kernel:minimise",
    ("d2=", "d3=", "d2", "d1", "d2", *SCAN, "b1=", "d1="),
)
describe = Entry(
    "bids_qmri.techniques.noddi.deviation_kernel:describe",
    ("d2", "d3", "d2", "d1", "d1", "d2", *SCAN, "d2=", "d1="),
)
combine = Entry("bids_qmri.techniques.noddi.grid_kernel:combine", ("f2", "f2", "i", "d1", "f2="))
moments = Entry("bids_qmri.techniques.noddi.grid_kernel:moments", ("f2=", "f1", "f2", "d2="))
