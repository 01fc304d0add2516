"""Maps of the off-resonance (B0 field) from phases of gradient echoes (BIDS: MEGRE with part-phase)."""
