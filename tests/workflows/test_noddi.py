"""NODDI is estimated where shells allow it, and refused in plain words where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.catalogue import find_entry, get_model, labels_for
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import get_estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi.multishell import full_shells, on_full_shells
from bids_qmri.workflows.applicability import choose_models
from bids_qmri.workflows.estimators import default_words


def shells(*sizes: tuple[float, int], directions: bool = True, b0_threshold: float = 50) -> DiffusionProtocol:
    """Return shells, each a b-value and its number of directions."""
    bvals = np.concatenate([np.full(count, b, dtype=float) for b, count in sizes])
    bvecs = np.concatenate(
        [synth.directions(count) if b > 50 else np.zeros((count, 3)) for b, count in sizes]
    )
    return DiffusionProtocol(bvals, bvecs if directions else None, b0_threshold=b0_threshold)


def acquired(protocol: DiffusionProtocol) -> Acquisition:
    image = Path("sub-01_dwi.nii.gz")
    return Acquisition("dwi", {"sub": "01"}, "dwi", (image,), (image,), {}, protocol)


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ([(0, 2), (1000, 60)], "at b = [1000] s/mm^2, from 300 up; NODDI needs 2"),
        ([(0, 2), (1000, 60), (2000, 5)], "at b = [1000] s/mm^2"),
        ([(0, 2), (400, 12), (800, 30)], "one at 1000 or above"),
        ([(0, 2), (100, 30), (2000, 30)], "at b = [2000] s/mm^2, from 300 up"),
        ([(60, 2), (1000, 30), (2000, 30)], "lowest b-value is 60 s/mm^2; an image at b = 0 is needed"),
    ],
)
def test_series_that_noddi_cannot_be_estimated_from_say_what_they_lack(
    sizes: Sequence[tuple[float, int]], why: str
) -> None:
    assert why in get_model("noddi").obstacle(shells(*sizes))


def test_series_without_directions_are_refused() -> None:
    assert "no gradient directions" in get_model("noddi").obstacle(
        shells((0, 1), (1000, 30), (2000, 30), directions=False)
    )


def test_a_higher_threshold_makes_the_lowest_images_b0s() -> None:
    series = shells((60, 2), (1000, 30), (2000, 30), b0_threshold=100)
    assert get_model("noddi").obstacle(series) == ""


def test_b0s_that_scatter_like_a_grid_do_no_harm() -> None:
    protocol = shells((5, 1), (5.4, 1), (5.8, 1), (7, 1), (700, 24), (2000, 48))
    assert get_model("noddi").obstacle(protocol) == ""
    assert get_model("dki").obstacle(protocol) == ""
    assert [images.size for images in full_shells(protocol)] == [24, 48]


@pytest.mark.parametrize("model", ["noddi", "dki"])
def test_images_at_b_0_alone_are_refused(model: str) -> None:
    assert "no shell of 6 or more directions" in get_model(model).obstacle(shells((0, 9)))


def test_repeated_directions_count_once() -> None:
    bvecs = np.concatenate([np.zeros((1, 3)), np.tile(np.eye(3), (20, 1))])
    protocol = DiffusionProtocol(np.r_[0, np.full(30, 1000.0), np.full(30, 2000.0)], bvecs)
    assert full_shells(protocol) == []


@pytest.mark.parametrize("name", ["noddi_s1", "hcp_like_jitter", "ukb_like", "abcd_like", "clinical_2shell"])
def test_published_schemes_lose_no_image(shared_data: Path, name: str) -> None:
    path = shared_data / "schemes" / name
    protocol = DiffusionProtocol(np.loadtxt(f"{path}.bval"), np.loadtxt(f"{path}.bvec").T)
    kept, part = on_full_shells(protocol)
    assert kept.size == part.n_measurements == protocol.n_measurements


def test_images_between_shells_are_left_out_for_the_network() -> None:
    protocol = shells((0, 2), (60, 3), (200, 6), (1000, 30), (1500, 3), (2000, 30))
    kept, part = on_full_shells(protocol)
    assert np.unique(part.bvals).tolist() == [0, 1000, 2000]
    np.testing.assert_array_equal(part.bvecs, protocol.bvecs[kept])  # type: ignore[index]


def test_a_grid_of_b_values_is_refused(shared_data: Path) -> None:
    folder = shared_data / "bids-real" / "sub-dtigrid" / "dwi"
    protocol = DiffusionProtocol(
        np.loadtxt(folder / "sub-dtigrid_dwi.bval"), np.loadtxt(folder / "sub-dtigrid_dwi.bvec").T
    )
    assert "grid" in get_model("noddi").obstacle(protocol)


def test_the_series_of_ivim_are_not_taken_for_noddi() -> None:
    protocol = shells((0, 1), *((b, 6) for b in (10, 50, 100, 200, 400, 800, 1200)))
    assert choose_models(acquired(protocol), ())[0] == ["ivim"]


def test_methods_mean_the_labels_of_noddi() -> None:
    words = ["lsq", "mle", "ncde", "nnmle", "nngt", "onnx", "bayes", "local", "mlp"]
    assert labels_for("noddi", words) == list(find_entry("noddi")[1].estimators)
    assert default_words("noddi") == ("lsq", "ncde")


def test_a_network_that_is_not_shipped_is_refused_with_the_way_to_train_one() -> None:
    with pytest.raises(InputError, match="bids_qmri-train noddi --set scheme"):
        get_estimator("noddi", "onnx").network_file(get_model("noddi"))
