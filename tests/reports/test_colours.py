"""The colours that come with the package are those of matplotlib, and all that tables ask for are there."""

import numpy as np
import pytest

from bids_qmri import catalogue
from bids_qmri.outputs.tables import output_table
from bids_qmri.reports import colours

KEPT = sorted(colours._kept())


@pytest.mark.parametrize("cmap", KEPT)
def test_what_is_kept_is_what_matplotlib_computes(cmap):
    np.testing.assert_array_equal(colours.palette(cmap)[1:255], colours.computed(cmap))


def test_all_that_tables_ask_for_is_kept():
    tables = [output_table(name) for name in catalogue.model_names()]
    assert {row.cmap for table in tables for row in table.every_row()} <= {*KEPT, ""}


def test_others_are_computed():
    assert colours.palette("hot").shape == (256, 3)


def test_differences_are_blue_below_white_at_nothing_and_red_above() -> None:
    shades = colours.palette(colours.DIVERGING).astype(int)
    assert shades[1, 2] - shades[1, 0] > 100
    assert shades[254, 0] - shades[254, 2] > 100
    middle = shades[127]
    assert middle.min() > 220
    assert np.ptp(middle) < 10
