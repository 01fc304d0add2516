"""Kernels of inversion recovery that Python calls."""

from __future__ import annotations

from bids_qmri.estimators.compiled.entry import Entry

write_curves = Entry("bids_qmri.techniques.irt1.curves_kernel:write_curves", ("d1", "d2", "f2="))
