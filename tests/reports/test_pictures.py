"""Colours of pictures mean what the page says they mean."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from bids_qmri.estimators.base import Status
from bids_qmri.outputs.tables import COLOUR_MAPS
from bids_qmri.reports.colours import FAILED_COLOUR, STATUS_COLOURS, VEIL_COLOUR, levels, palette, rgb
from bids_qmri.reports.pictures import Grid, Picture, draw_direction, draw_map, draw_status, standalone
from bids_qmri.reports.sheets import lay_out

RAS = np.eye(4)
EVERYWHERE = np.ones((6, 8, 3), dtype=bool)
GRID = Grid(EVERYWHERE, lay_out(EVERYWHERE, RAS))
EVIL = "<script>alert(1)</script>"


def pixels(picture: Picture) -> np.ndarray:
    """Return red, green and blue of every pixel, as another decoder reads them."""
    from matplotlib.image import imread

    image = np.asarray(imread(io.BytesIO(picture.png), format="png"))
    return np.rint(255 * image[..., :3]).astype(int)


def draw(values: np.ndarray, grid: Grid = GRID, **changes: object) -> Picture:
    fields = {"name": "t", "units": "s", "limits": (0, 1), "cmap": "viridis", "caption": "", "by": "lsq"}
    return draw_map(values, grid, **{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("cmap", sorted(COLOUR_MAPS))
def test_colours_can_be_turned_back_into_values(cmap: str) -> None:
    values = np.linspace(-1, 3, EVERYWHERE.size).reshape(EVERYWHERE.shape)
    shown = pixels(draw(values, limits=(-1, 3), cmap=cmap))
    distance = ((shown[:, :, None, :] - palette(cmap).astype(int)) ** 2).sum(axis=-1)
    read = -1 + (distance.argmin(axis=-1) - 1) / 253 * 4
    inside = GRID.sheet.order >= 0
    # Half a level by rounding, one more where neighbours look alike in 8 bits.
    np.testing.assert_allclose(read[inside], GRID.sheet.fill(values, 0)[inside], atol=1.51 * 4 / 253)


def test_no_two_levels_of_a_map_share_a_colour_with_outside_or_failed() -> None:
    for cmap in COLOUR_MAPS:
        shades = {tuple(colour) for colour in palette(cmap)[1:255].tolist()}
        assert not shades & {tuple(palette(cmap)[0].tolist()), tuple(palette(cmap)[255].tolist())}


def test_values_beyond_the_range_take_its_end_and_are_counted() -> None:
    values = np.full(EVERYWHERE.shape, 0.5)
    values[0] = 7.0
    picture = draw(values)
    assert levels(np.array([7.0, -7.0]), (0, 1)).tolist() == [254, 1]
    assert picture.caption == (
        "Colours from 0 to 1 s; 17 % of the voxels lie above the range, in the colour of its end."
    )


def test_a_range_from_the_data_says_what_it_leaves_out_too() -> None:
    values = np.arange(float(EVERYWHERE.size)).reshape(EVERYWHERE.shape)
    picture = draw(values, limits=None)
    assert picture.caption.startswith("Colours from 0 to ")
    assert "1.4 % of the voxels lie above the range" in picture.caption
    assert draw(values / EVERYWHERE.size).caption == "Colours from 0 to 1 s."


def test_failed_voxels_are_grey_and_nothing_is_drawn_outside_the_mask() -> None:
    values = np.full(EVERYWHERE.shape, 0.5)
    values[2:4, 2:6] = np.nan
    mask = EVERYWHERE.copy()
    mask[:1] = False
    shown = pixels(draw(values, Grid(mask, GRID.sheet)))
    assert np.all(shown == rgb(FAILED_COLOUR), axis=-1).sum() == 24
    assert np.all(shown == palette("viridis")[0], axis=-1).sum() == shown[..., 0].size - 120


def veiled(picture: Picture) -> np.ndarray:
    """Return where the veil of a picture is not transparent."""
    from matplotlib.image import imread

    assert picture.veil is not None
    return np.asarray(imread(io.BytesIO(picture.veil[0]), format="png"))[..., 3] > 0


def test_what_the_data_do_not_determine_is_under_a_veil_and_keeps_its_colours() -> None:
    values = np.linspace(0, 1, 144).reshape(EVERYWHERE.shape)
    values[0, 0, 0] = np.nan
    known = EVERYWHERE.copy()
    known[:2] = False
    picture = draw(values, determined=known)
    assert picture.png == draw(values).png
    expected = ~GRID.sheet.fill(known, True).astype(bool) & np.isfinite(GRID.sheet.fill(values, 0.0))
    np.testing.assert_array_equal(veiled(picture), expected)
    assert picture.key[-1] == (VEIL_COLOUR, "not determined by the data: 33 %")
    assert picture.veil is not None
    assert picture.veil[1] == "Grey where the data do not determine t: 33 % of the voxels."
    assert picture.veil_source in standalone(picture, "t")


def test_nothing_is_veiled_where_all_is_determined_outside_the_mask_or_unknown() -> None:
    values, mask = np.full(EVERYWHERE.shape, 0.5), EVERYWHERE.copy()
    mask[0] = False
    for known in (None, EVERYWHERE, mask):
        picture = draw(values, Grid(mask, GRID.sheet), determined=known)
        assert (picture.veil, picture.veil_source, picture.key) == (None, "", ())


def test_an_empty_map_is_still_drawn() -> None:
    nothing = np.zeros(EVERYWHERE.shape, dtype=bool)
    assert pixels(draw(np.zeros(EVERYWHERE.shape), Grid(nothing, lay_out(nothing, RAS)), limits=None)).size
    assert pixels(draw(np.full(EVERYWHERE.shape, np.nan), limits=None)).size


def test_the_same_map_gives_the_same_bytes() -> None:
    values = np.linspace(0, 1, 144).reshape(EVERYWHERE.shape)
    assert draw(values).png == draw(values).png


def test_ticks_stand_where_their_values_are() -> None:
    picture = draw(np.zeros(EVERYWHERE.shape), units="mm^2/s", limits=(0, 0.003))
    assert picture.scale is not None
    assert picture.scale.unit == "10⁻³ mm²/s"
    for place, text in picture.scale.ticks:
        assert float(text) == pytest.approx(3 * place / 100, abs=1e-3)


def test_what_happened_is_drawn_over_grey_and_counted() -> None:
    status = np.full(EVERYWHERE.shape, Status.OK, dtype=np.uint8)
    status[0], status[1, 0, 0] = Status.OUTSIDE, Status.UNUSABLE
    picture = draw_status(status, np.ones(EVERYWHERE.shape), GRID, by="lsq")
    shown = pixels(picture)
    assert np.all(shown == rgb(STATUS_COLOURS[Status.UNUSABLE]), axis=-1).sum() == 1
    assert picture.key == ((STATUS_COLOURS[Status.UNUSABLE], "signal not finite or unusable: 0.83 %"),)
    assert "unusable: 0.83 %" in picture.alt


def test_every_status_that_is_not_simply_an_estimate_has_a_colour_unlike_the_others() -> None:
    assert set(STATUS_COLOURS) == set(Status) - {Status.OUTSIDE, Status.OK}
    colours = np.array([rgb(colour) for colour in STATUS_COLOURS.values()], dtype=int)
    greys = palette("gray").astype(int)
    for place, colour in enumerate(colours):
        others = np.concatenate([np.delete(colours, place, axis=0), greys])
        # The viewer takes colours closer than 300 for the same.
        assert np.min(np.sum((others - colour) ** 2, axis=1)) > 2 * 300


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize(("axis", "colour"), [(0, (255, 0, 0)), (1, (0, 255, 0)), (2, (0, 0, 255))])
def test_a_direction_has_the_colour_of_its_axis_in_the_scanner(
    flip: int, axis: int, colour: tuple[int, int, int]
) -> None:
    # The first axis of the image runs along the third of the scanner, and so on.
    affine = np.vstack([np.roll(np.diag([2.0 * flip, 3.0, 4.0, 1.0])[:3], axis, axis=0), [0, 0, 0, 1]])
    direction = np.zeros((*EVERYWHERE.shape, 3))
    direction[..., 0] = -1.0
    grid = Grid(EVERYWHERE, lay_out(EVERYWHERE, affine))
    picture = draw_direction(
        direction, np.ones(EVERYWHERE.shape), affine, grid, name="t", caption="", by="lsq"
    )
    assert np.all(pixels(picture) == colour, axis=-1).sum() == EVERYWHERE.size


def test_a_figure_alone_is_valid_and_inert() -> None:
    text = standalone(draw(np.zeros(EVERYWHERE.shape)), EVIL)
    assert ET.fromstring(text)[0].text == EVIL
    assert "<script" not in text
