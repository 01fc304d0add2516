"""Kernels of spin echoes that Python calls."""

from __future__ import annotations

from bids_qmri.estimators.compiled.entry import Entry

write_echoes = Entry("bids_qmri.techniques.mese.echoes_kernel:write_echoes", ("d1", "d1", "d1", "d", "d2="))
