"""T2* from gradient echoes at several echo times (BIDS: MEGRE)."""
