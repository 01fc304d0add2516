"""The phantoms: every tissue is there, looks right, and holds values that a model can have."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.catalogue import get_model
from bids_qmri.demo.phantom import SHAPE, Phantom, abdomen, brain

PHANTOMS = [pytest.param(brain(), id="brain"), pytest.param(abdomen(), id="abdomen")]


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_every_tissue_has_enough_voxels_for_a_median(phantom: Phantom) -> None:
    counts = np.bincount(phantom.labels.ravel(), minlength=len(phantom.tissues) + 1)
    assert counts.size == len(phantom.tissues) + 1
    assert counts.min() > 100


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_air_surrounds_it(phantom: Phantom) -> None:
    for face in (phantom.labels[0], phantom.labels[-1], phantom.labels[:, 0], phantom.labels[:, -1]):
        assert not face.any()


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_values_fill_their_tissue(phantom: Phantom) -> None:
    image = phantom.image(phantom.values("t1"))
    assert image.shape == SHAPE
    for label, tissue in enumerate(phantom.tissues, start=1):
        assert np.all(image[phantom.labels == label] == tissue.truth["t1"])
    assert not image[phantom.labels == 0].any()


def test_several_values_per_tissue_become_a_last_axis() -> None:
    phantom = brain()
    image = phantom.image(np.stack([phantom.values("t1"), phantom.values("md")]))
    assert image.shape == (*SHAPE, 2)


@pytest.mark.parametrize("model", ["vfa", "ivim", "etofts"])
def test_truth_lies_within_the_limits_that_a_series_may_set(model: str) -> None:
    phantom = abdomen()
    for parameter in get_model(model).parameters:
        low, high = parameter.widest or parameter.bounds
        values = phantom.values(parameter.name)
        assert np.all((values >= low) & (values <= high))


def test_ktrans_is_kep_times_ve() -> None:
    phantom = abdomen()
    assert np.allclose(phantom.values("ktrans"), phantom.values("kep") * phantom.values("ve"))
