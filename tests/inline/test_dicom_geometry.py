"""Every pixel keeps its place in the patient, whichever convention it came with."""

from __future__ import annotations

import mrd
import numpy as np
import pytest
from dicom_tools import TILTS, affine

from bids_qmri.errors import InputError
from bids_qmri.inline.dicom_geometry import Plane, distance_between, planes_of_affine, planes_of_image
from bids_qmri.inline.dicom_source import SourceImage
from bids_qmri.inline.meta import Meta
from bids_qmri.inline.wire import IMAGE_HEADER, Image

NOBODY = SourceImage()


def place(plane: Plane, row: float, column: float) -> np.ndarray:
    """Where DICOM says a pixel is, mm, LPS (PS3.3, C.7.6.2.1.1)."""
    along = plane.along_row * plane.column_spacing * column + plane.along_column * plane.row_spacing * row
    return plane.position + along


def image(**fields: object) -> Image:
    """An MRD image of 6 rows, 8 columns, pixels of 2 x 3 mm, 4 mm thick, centre at (10, 20, 30)."""
    content = mrd.image(np.ones((6, 8), dtype=np.int16))
    header = np.frombuffer(content[2:200], IMAGE_HEADER)[0].copy()
    values = {"field_of_view": (16, 18, 4), "position": (10, 20, 30)} | fields
    for name, value in values.items():
        header[name] = value
    return Image(header, b"", np.ones(48, dtype=np.int16))


@pytest.mark.parametrize("handedness", [1, -1])
@pytest.mark.parametrize("tilt", TILTS)
def test_pixels_lie_where_the_affine_puts_the_voxels(tilt: str, handedness: int) -> None:
    grid = affine(tilt, handedness)
    planes = planes_of_affine(grid, 5)
    for i, j, k in ((0, 0, 0), (7, 0, 1), (0, 9, 2), (3, 4, 4)):
        right, front, head = (grid @ (i, j, k, 1))[:3]
        np.testing.assert_allclose(place(planes[k], j, i), (-right, -front, head), atol=1e-9)
    assert planes[0].thickness == pytest.approx(3)
    assert distance_between(planes) == pytest.approx(3)


def test_rounding_of_an_affine_is_taken_out_of_the_directions() -> None:
    grid = np.round(affine(), 4)
    [plane] = planes_of_affine(grid, 1)
    directions = np.stack([plane.along_row, plane.along_column])
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    assert distance_between([plane]) is None


def test_a_sheared_grid_is_refused() -> None:
    grid = affine()
    grid[:3, 1] += 0.1 * grid[:3, 0]
    with pytest.raises(InputError, match="right angle"):
        planes_of_affine(grid, 2)


def test_stacks_that_lean_keep_their_positions() -> None:
    grid = affine()
    grid[:3, 2] += 0.2 * grid[:3, 1]
    planes = planes_of_affine(grid, 3)
    np.testing.assert_allclose(planes[2].position, (grid @ (0, 0, 2, 1))[:3] * (-1, -1, 1))


def test_position_of_an_mrd_image_is_its_centre() -> None:
    [plane] = planes_of_image(image(), {}, NOBODY)
    np.testing.assert_allclose(place(plane, 2.5, 3.5), (10, 20, 30), atol=1e-5)
    assert (plane.row_spacing, plane.column_spacing, plane.thickness) == pytest.approx((3, 2, 4))


def test_planes_of_a_slab_lie_around_its_centre() -> None:
    planes = planes_of_image(image(matrix_size=(8, 6, 4), field_of_view=(16, 18, 20)), {}, NOBODY)
    heights = [plane.position[2] for plane in planes]
    np.testing.assert_allclose(heights, [22.5, 27.5, 32.5, 37.5], atol=1e-5)


def test_directions_among_the_attributes_come_before_those_of_the_header() -> None:
    meta: Meta = {"ImageRowDir": ["-1", "0", "0"], "ImageColumnDir": ["0", "0", "1"]}
    [plane] = planes_of_image(image(), meta, NOBODY)
    assert plane.along_row.tolist() == [-1, 0, 0]
    np.testing.assert_allclose(place(plane, 2.5, 3.5), (10, 20, 30), atol=1e-5)


def test_the_dicom_image_behind_an_mrd_image_knows_its_first_pixel() -> None:
    source = SourceImage(position=np.array([1.0, 2.0, 3.0]))
    [plane] = planes_of_image(image(), {}, source)
    assert plane.position.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "fields", [{"read_dir": (0, 0, 0)}, {"field_of_view": (0, 18, 4)}, {"position": (np.nan, 0, 0)}]
)
def test_an_image_without_a_place_is_refused(fields: dict) -> None:
    with pytest.raises(InputError):
        planes_of_image(image(**fields), {}, NOBODY)
