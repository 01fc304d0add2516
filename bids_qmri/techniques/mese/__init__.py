"""T2 from spin echoes at several echo times, with and without stimulated echoes (BIDS: MESE)."""
