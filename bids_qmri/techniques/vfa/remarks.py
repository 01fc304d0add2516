"""What to say of two images of one flip angle that differ."""

from bids_qmri.estimation.repeats import remarks_on

__all__ = ["remarks_on"]
