"""Maps of rates from maps of times: what some techniques report beside what they fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_qmri.estimation.blocks import ImageMaps


def with_rate(found: ImageMaps, time: str, rate: str) -> ImageMaps:
    """Return maps with the inverse of one of them, its standard deviation to first order.

    Parameters
    ----------
    found
        Maps over the whole grid, in s.
    time, rate
        Name of the map that is there, and of its inverse in 1/s.
    """
    values = found.maps[time]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(values > 0, 1.0 / values, np.where(np.isnan(values), np.nan, 0.0))
        maps = {**found.maps, rate: inverse.astype(values.dtype)}
        sd, determined = dict(found.sd), dict(found.determined)
        if time in sd:
            sd[rate] = (sd[time] * inverse**2).astype(values.dtype)
    if time in determined:
        determined[rate] = determined[time]
    return replace(found, maps=maps, sd=sd, determined=determined)
