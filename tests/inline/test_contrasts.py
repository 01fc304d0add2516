"""Inversion times and echo times served as flip angles are: by attributes, DICOM, or the XML header."""

from __future__ import annotations

import base64
import json

import mrd
import numpy as np
import pytest
import scans

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.inline.config import Shelf, named

TRUTH = {
    "irt1": np.linspace(0.3, 2.0, int(np.prod(scans.SHAPE))).reshape(scans.SHAPE),
    "megre": np.linspace(0.006, 0.06, int(np.prod(scans.SHAPE))).reshape(scans.SHAPE),
    "mese": np.linspace(0.03, 0.15, int(np.prod(scans.SHAPE))).reshape(scans.SHAPE),
}
MAPS = {"irt1": "t1", "megre": "t2star", "mese": "t2"}
SPELLINGS = {"irt1": ("InversionTime", "TI", "DICOM.InversionTime"), "megre": ("EchoTime", "TE", "echo_time")}


@pytest.mark.parametrize(
    ("model", "attribute"), [(model, name) for model, names in SPELLINGS.items() for name in names]
)
def test_times_in_ms_become_maps_in_s(port, model, attribute):
    images = scans.contrasts(scans.contrast_volumes(model, TRUTH[model]), model, attribute)
    answer = scans.talk(port, f"{model}-lsq", images)
    assert answer.texts == []
    found = answer.map(MAPS[model])[:, 0]
    np.testing.assert_allclose(found, TRUTH[model], rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("model", ["irt1", "megre"])
def test_networks_of_any_protocol_serve_them(port, model):
    images = scans.contrasts(scans.contrast_volumes(model, TRUTH[model]), model, SPELLINGS[model][0])
    text = '{"parameters": {"sigma": 60}}'
    answer = scans.talk(port, f"{model}-ncde", images, text=text)
    found = answer.map(MAPS[model])[:, 0]
    assert np.median(np.abs(found / TRUTH[model] - 1)) < 0.02


@pytest.mark.parametrize(("model", "element"), [("irt1", "TI"), ("megre", "TE"), ("mese", "TE")])
def test_the_list_of_the_header_is_looked_up_by_the_contrast(port, model, element):
    listed = "".join(f"<{element}>{time}</{element}>" for time in scans.TIMES[model])
    xml = f"<ismrmrdHeader><sequenceParameters>{listed}</sequenceParameters></ismrmrdHeader>"
    images = scans.contrasts(scans.contrast_volumes(model, TRUTH[model]), model, "")
    answer = scans.talk(port, f"{model}-lsq", images, xml=xml)
    assert answer.texts == []
    np.testing.assert_allclose(answer.map(MAPS[model])[:, 0], TRUTH[model], rtol=0.01, atol=1e-3)


@pytest.mark.parametrize(("model", "tag"), [("irt1", "00180082"), ("megre", "00180081")])
def test_the_dicom_header_of_an_image_tells_them(port, model, tag):
    volumes = scans.contrast_volumes(model, TRUTH[model])
    images = []
    for i, volume in enumerate(volumes):
        header = {tag: {"vr": "DS", "Value": [scans.TIMES[model][i]]}}
        attributes = mrd.meta(DicomJson=base64.b64encode(json.dumps(header).encode()).decode())
        images += [mrd.image(image, attributes, contrast=i, slice=k) for k, image in enumerate(volume)]
    answer = scans.talk(port, f"{model}-lsq", images)
    np.testing.assert_allclose(answer.map(MAPS[model])[:, 0], TRUTH[model], rtol=0.01, atol=1e-3)


def test_every_inversion_time_may_be_a_series_of_its_own(port):
    volumes = scans.contrast_volumes("irt1", TRUTH["irt1"])
    images = [
        mrd.image(image, mrd.meta(TI=scans.TIMES["irt1"][i]), series=i + 1, slice=k)
        for i, volume in enumerate(volumes)
        for k, image in enumerate(volume)
    ]
    np.testing.assert_allclose(scans.talk(port, "irt1-lsq", images).map("t1")[:, 0], TRUTH["irt1"], atol=0.02)


def test_without_times_what_is_looked_for_is_said(port):
    images = scans.contrasts(scans.contrast_volumes("megre", TRUTH["megre"]), "megre", "")
    [text] = scans.talk(port, "megre-lsq", images).texts
    assert "an image has no echo time" in text
    assert "EchoTime, TE" in text
    assert '"echo_time": "NAME"' in text


def test_two_inversion_times_are_refused_with_what_is_needed(port):
    images = scans.contrasts(scans.contrast_volumes("irt1", TRUTH["irt1"])[:2], "irt1", "TI")
    [text] = scans.talk(port, "irt1-lsq", images).texts
    assert "2 inversion times; 3 are needed" in text


def test_models_of_which_a_stream_tells_nothing_are_not_offered():
    able = {name for name in catalogue.model_names() if catalogue.get_model(name).protocol.stream}
    assert {name.partition("-")[0] for name in named()} == able
    assert {"irt1", "mese", "epg", "megre"} <= able
    assert not {"mpm", "mts", "mtr", "mp2rage"} & able
    with pytest.raises(InputError, match=r"mpm: streams do not say .*needed: one of vfa, ivim"):
        Shelf().config("vfa-lsq", {"model": "mpm"})
