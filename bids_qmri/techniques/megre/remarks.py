"""What to say of two images of one echo time that differ."""

from bids_qmri.estimation.repeats import remarks_on

__all__ = ["remarks_on"]
