"""T1 from inversion recovery at several inversion times (BIDS: IRT1)."""
