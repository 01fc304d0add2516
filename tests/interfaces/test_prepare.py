"""What becomes of raw voxels before a fit: where the bolus is put, how noise is known, what is averaged."""

from contextlib import contextmanager

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.bids.masks import MaskChoice
from bids_qmri.catalogue import get_model
from bids_qmri.estimators.base import get_estimator
from bids_qmri.interfaces.fit import estimate
from bids_qmri.interfaces.job import FitJob
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.spoiled_gradient_echo import concentration_to_signal
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.preparation import _driven
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.settings import Aif, DceSettings

POPULATION = ReadOptions(values={"t10": 1.2, "aif": "parker"})


def job(root, tmp_path, model, label, kind):
    acquisition = next(a for a in find(root, "01") if getattr(a, "kind", "") == kind)
    return fit_job(root, tmp_path, acquisition, model, label)


def fit_job(root, tmp_path, acquisition, model, label):
    fit = get_model(model), get_estimator(model, label)
    return FitJob("01", acquisition, *fit, POPULATION, root, tmp_path / "out", tmp_path)


@contextmanager
def opened(job):
    """Open the images of a job, all voxels in the mask."""
    with open_series(job.acquisition.images, job.work_dir) as series:
        mask = np.ones(series.n_voxels, dtype=bool)
        choice = MaskChoice(mask, "all")
        yield OpenAcquisition(job.acquisition, job.options, series, choice, mask, job.work_dir)


def fitted(job):
    with opened(job) as here:
        how = here.prepare(job.model, job.estimator, job.bounds)
        how, found, sigma = estimate(job.model, job.estimator, here, how)
        return found, how, sigma


@pytest.mark.parametrize("spacing", [2.0, 5.0, 9.0])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_a_population_input_is_unbiased_wherever_the_bolus_falls_between_frames(tmp_path, spacing, fraction):
    time = spacing * np.arange(int(240 / spacing))
    arrival = spacing * (5 + fraction) if spacing > 3 else 30.0 + spacing * fraction
    truth = {"kep": 0.6, "ve": 0.3, "vp": 0.04}
    fine, plasma = population_aif("parker", arrival, time[-1], 0.42, step=0.1)
    theta = np.array([[0.6], [0.3], [0.04], [0.0]])
    curve = EXTENDED_TOFTS.signal(theta, DceProtocol(time, fine, plasma)).T
    signal = concentration_to_signal(
        curve,
        np.array([100.0]),
        np.array([1.2]),
        flip_angle=np.deg2rad(15),
        repetition_time=0.005,
        relaxivity=4.5,
    )
    root = synth.new_dataset(tmp_path / "bids")
    synth.write_image(
        synth.place(root, "perf", "sub-01_dce.nii.gz"), np.tile(signal.reshape(1, 1, 1, -1), (2, 2, 2, 1))
    )
    keys = {"FlipAngle": 15, "RepetitionTimeExcitation": 0.005, "ContrastAgentRelaxivity": 4.5}
    synth.write_json(
        synth.place(root, "perf", "sub-01_dce.json"),
        keys | {"VolumeTiming": time.tolist(), "Hematocrit": 0.42},
    )
    acquisition = next(iter(find(root, "01", POPULATION)))
    found = fitted(fit_job(root, tmp_path, acquisition, "etofts", "lsq"))[0]
    assert found.maps["ktrans"][0] == pytest.approx(truth["kep"] * truth["ve"], rel=0.03)
    assert found.maps["ve"][0] == pytest.approx(truth["ve"], rel=0.03)
    assert found.maps["vp"][0] == pytest.approx(truth["vp"], rel=0.10)


def test_a_measured_input_shares_the_clock_of_the_scan():
    settings = DceSettings(
        np.arange(5.0), 0.2, 0.005, 4.5, 0.42, 2, Aif("measured", np.arange(5.0), np.ones(5)), 1.2
    )
    protocol, earlier = _driven(settings, settings.time, 2)
    assert earlier == 0.0
    np.testing.assert_array_equal(protocol.aif_time, np.arange(5.0))


@pytest.mark.parametrize("label", ["lsq", "mle", "bayes"])
def test_anisotropy_does_not_count_as_noise(tmp_path, label):
    rng = np.random.default_rng(3)
    b = np.repeat([0, 20, 60, 150, 400, 800], 6).astype(float)
    g = synth.gradient_table(b)
    diffusivity = 0.5e-3 + 1.0e-3 * g[:, 0] ** 2
    signal = 100 * (0.9 * np.exp(-b * diffusivity) + 0.1 * np.exp(-b * 0.03))
    noise = rng.normal(size=(2, 12, 12, 4, b.size))
    root = synth.new_dataset(tmp_path / "bids")
    synth.add_dwi(root, np.hypot(signal + 2.5 * noise[0], 2.5 * noise[1]), b, g)
    the_job = job(root, tmp_path, "ivim", label, "dwi")
    with opened(the_job) as here:
        noise = here.noise(the_job.model, here.prepare(the_job.model, the_job.estimator, {}))
        floor, scatter = noise.typical(here.mask)
    assert floor == pytest.approx(2.5, rel=0.05)
    assert scatter == pytest.approx(2.5, rel=0.2)


def test_the_posterior_of_a_concentration_does_not_depend_on_noisier_neighbours(tmp_path):
    root = synth.new_dataset(tmp_path / "bids")
    synth.add_vfa(root)
    synth.add_dce(root)
    the_job = job(root, tmp_path, "etofts", "bayes", "dce")
    with opened(the_job) as here:
        how = here.prepare(the_job.model, the_job.estimator, {})
        rng = np.random.default_rng(0)
        curves, protocol = how.convert(here.series.read(0, 8), np.arange(8))
        curves = curves + rng.normal(size=curves.shape) * np.repeat([0.005, 0.1], 4)[:, None]
        together = how.voxel_noise(curves, protocol)
        alone = how.voxel_noise(curves[:4], protocol)
    np.testing.assert_allclose(together[:4], alone, rtol=1e-6)
    assert np.median(together[4:]) > 10 * np.median(together[:4])
