"""T1, R2*, PD and MTsat from spoiled gradient echoes with and without an MT pulse (BIDS: MPM, MTS)."""
