"""A synthetic dataset of known truth; ``python -m bids_qmri.demo`` makes it, processes it and compares."""
