"""T1 from two gradient-echo images after one inversion (BIDS: MP2RAGE, UNIT1)."""
