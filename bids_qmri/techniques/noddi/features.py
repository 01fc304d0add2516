"""What the network for any shells estimates and reads, found through the catalogue."""

from __future__ import annotations

from bids_qmri.techniques.noddi.zonal import CHANNELS, CONTEXT, QUANTITIES

INTERFACE = QUANTITIES, CHANNELS, CONTEXT
