"""The colours that come with the package are those of their makers, and all that tables ask for are there."""

import numpy as np
import pytest

from bids_qmri import catalogue
from bids_qmri.outputs.tables import output_table
from bids_qmri.reports import colours

KEPT = sorted(colours._kept())


@pytest.mark.parametrize("cmap", KEPT)
def test_what_is_kept_is_what_its_makers_compute(cmap):
    if cmap in colours.SCIENTIFIC:
        pytest.importorskip("cmcrameri")
    np.testing.assert_array_equal(colours.palette(cmap)[1:255], colours.computed(cmap))


def test_all_that_tables_ask_for_is_kept():
    tables = [output_table(name) for name in catalogue.model_names()]
    asked = {row.cmap.removesuffix(colours.TURNED) for table in tables for row in table.every_row()}
    assert asked <= {*KEPT, ""}


@pytest.mark.parametrize(
    ("time", "rate", "cmap"), [("T1", "R1", "lipari"), ("T2", "R2", "navia"), ("T2*", "R2*", "navia")]
)
def test_relaxation_has_the_recommended_colours_and_rates_those_of_their_times(time, rate, cmap):
    """Fuderer et al. (doi:10.1002/mrm.30290)."""
    tables = [output_table(name) for name in catalogue.model_names()]
    maps = [row for table in tables for row in table.maps]
    assert {row.cmap for row in maps if row.symbol == time} == {cmap}
    assert {row.cmap for row in maps if row.symbol == rate} == {f"{cmap}_r"}
    np.testing.assert_array_equal(colours.palette(f"{cmap}_r")[1:255], colours.palette(cmap)[254:0:-1])


def test_others_are_computed():
    assert colours.palette("hot").shape == (256, 3)


def test_differences_are_blue_below_white_at_nothing_and_red_above() -> None:
    shades = colours.palette(colours.DIVERGING).astype(int)
    assert shades[1, 2] - shades[1, 0] > 100
    assert shades[254, 0] - shades[254, 2] > 100
    middle = shades[127]
    assert middle.min() > 220
    assert np.ptp(middle) < 10
