"""Every usual spelling of an encoding is read, in the order that the documentation states."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.inline.encoding import Reader
from bids_qmri.inline.header import parse_header
from bids_qmri.inline.wire import IMAGE_HEADER

XML = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <measurementInformation><protocolName>dwi</protocolName></measurementInformation>
  <encoding><encodingLimits><slice><maximum>39</maximum></slice></encodingLimits></encoding>
  <sequenceParameters><TR>5800</TR><flipAngle_deg>5</flipAngle_deg><flipAngle_deg>15</flipAngle_deg>
    <diffusionDimension>repetition</diffusionDimension>
    <diffusion><gradientDirection><rl>0</rl><ap>0</ap><fh>0</fh></gradientDirection><bvalue>0</bvalue></diffusion>
    <diffusion><gradientDirection><rl>0</rl><ap>1</ap><fh>0</fh></gradientDirection><bvalue>700</bvalue></diffusion>
  </sequenceParameters>
</ismrmrdHeader>"""

PROTOCOLS = {
    "dwi": get_model("ivim").protocol,
    "vfa": get_model("vfa").protocol,
    "dce": get_model("tofts").protocol,
}


def head(row=(1, 0, 0), column=(0, 1, 0), **fields) -> np.void:
    found = np.zeros(1, IMAGE_HEADER)[0]
    found["read_dir"], found["phase_dir"] = row, column
    for name, value in fields.items():
        found[name] = value
    return found


def dicom(**tags) -> dict[str, list[str]]:
    return {"DicomJson": [base64.b64encode(json.dumps(tags).encode()).decode()]}


def read(meta, family="dwi", xml="", names=None, **fields):
    return Reader(PROTOCOLS[family], parse_header(xml), names or {}).read(head(**fields), meta)


@pytest.mark.parametrize(
    "meta",
    [
        {"DiffusionBValue": ["700"]},
        {"diffusion_b_value": ["7.0e2"]},
        {"BValue": ["700.0"]},
        {"b-value": ["700"]},
        {"DICOM.B_value": ["700"]},
        {"bval": ["700 s/mm2"]},
        {"IceMiniHead": [base64.b64encode(b'<ParamMap."">{<ParamLong."BValue"> { 700 } }').decode()]},
        dicom(**{"00189087": {"vr": "FD", "Value": [700.0]}}),
        dicom(**{"0019100C": {"vr": "IS", "Value": ["700"]}}),
        dicom(**{"0019100C": {"vr": "UN", "InlineBinary": base64.b64encode(b"700 ").decode()}}),
        dicom(**{"00431039": {"vr": "IS", "Value": [1000000700, 8, 0, 0]}}),
        dicom(**{"00189117": {"vr": "SQ", "Value": [{"00189087": {"vr": "FD", "Value": [700]}}]}}),
    ],
)
def test_b_values_are_found_under_usual_names(meta):
    assert read(meta)[0] == 700.0


@pytest.mark.parametrize(
    "meta",
    [
        {"DiffusionGradientDirection": ["0", "0.6", "0.8"]},
        {"GradientDirection": ["0 0.6 0.8"]},
        {"bvec": ["0,0.6,0.8"]},
        dicom(**{"00189089": {"vr": "FD", "Value": [0, 0.6, 0.8]}}),
        dicom(
            **{
                "0019100E": {
                    "vr": "UN",
                    "InlineBinary": base64.b64encode(struct.pack("<3d", 0, 0.6, 0.8)).decode(),
                }
            }
        ),
    ],
)
def test_directions_are_those_of_the_gradient_table_of_the_same_image(meta):
    # dcm2niix turns columns around: patient axes (left, back, head) become (left, front, head).
    np.testing.assert_allclose(read({"b": ["700"]} | meta)[1:], (0, -0.6, 0.8))


def test_directions_turn_with_the_image():
    meta = {"b": ["700"], "bvec": ["0", "1", "0"]}
    sagittal = {"row": (0, 1, 0), "column": (0, 0, -1)}
    np.testing.assert_allclose(read(meta, **sagittal)[1:], (1, 0, 0))
    named = {"ImageRowDir": ["0", "0", "1"], "ImageColumnDir": ["0", "1", "0"]}
    np.testing.assert_allclose(read(meta | named, **sagittal)[1:], (0, -1, 0))


def test_the_list_of_the_header_is_indexed_by_its_counter():
    assert read({}, xml=XML, repetition=1) == (700.0, 0.0, -1.0, 0.0)
    assert read({}, xml=XML.replace("repetition", "user_3"), user_int=(0, 0, 0, 1, 0, 0, 0, 0))[0] == 700.0
    with pytest.raises(InputError, match="lists 2 encodings"):
        read({}, xml=XML, repetition=2)


def test_attributes_come_before_the_list_of_the_header_and_named_ones_first():
    meta = {"DiffusionBValue": ["50"], "MyB": ["900"]}
    assert read(meta, xml=XML, repetition=1)[0] == 50.0
    assert read(meta, xml=XML, names={"bvalue": ("my_b",)})[0] == 900.0


@pytest.mark.parametrize(
    ("meta", "fields", "expected"),
    [
        ({"FlipAngle": ["15"], "RepetitionTime": ["5.6"]}, {}, (15, 0.0056)),
        (
            dicom(**{"00181314": {"vr": "DS", "Value": [15]}, "00180080": {"vr": "DS", "Value": [5.6]}}),
            {},
            (15, 0.0056),
        ),
        ({}, {"contrast": 1}, (15, 5.8)),
        ({}, {}, (5, 5.8)),
    ],
)
def test_flip_angles_in_degrees_and_repetition_times_in_milliseconds(meta, fields, expected):
    assert read(meta, "vfa", XML, **fields) == pytest.approx(expected)


def test_a_repetition_is_no_other_flip_angle():
    """Two angles as contrasts, each of them repeated: the counter that takes two values tells them apart."""
    limits = (
        "<encodingLimits><contrast><maximum>1</maximum></contrast>"
        "<repetition><maximum>2</maximum></repetition></encodingLimits>"
    )
    counted = XML.replace("<sequenceParameters>", f"{limits}<sequenceParameters>", 1)
    for contrast, angle in enumerate((5, 15)):
        for repetition in range(3):
            found = read({}, "vfa", counted, contrast=contrast, repetition=repetition)
            assert found == pytest.approx((angle, 5.8))
    with pytest.raises(InputError, match="contrast and repetition of an image are not 0"):
        read({}, "vfa", XML, contrast=1, repetition=1)


def test_times_come_from_the_stamp_in_ticks_or_the_time_of_day():
    assert read({}, "dce", acquisition_time_stamp=400) == (1.0,)
    assert read({"FrameTime": ["12.5"]}, "dce", acquisition_time_stamp=400) == (12.5,)
    clock = dicom(**{"00080032": {"vr": "TM", "Value": ["010203.5"]}})
    assert read(clock, "dce") == (3723.5,)


@pytest.mark.parametrize("family", ["dwi", "vfa", "dce"])
def test_what_is_nowhere_is_said_with_the_way_out(family):
    with pytest.raises(InputError, match=r'"attributes": \{'):
        read({"Other": ["1"]}, family)


@pytest.mark.parametrize("b", ["-1", "1e9", "1e999"])
def test_impossible_b_values_are_refused(b):
    with pytest.raises(InputError, match="s/mm"):
        read({"DiffusionBValue": [b]})


@pytest.mark.parametrize("text", ["Dummy XML header", "", "<a>", "<!DOCTYPE a><a/>", "<a/>", "\x00"])
def test_a_header_that_says_nothing_is_not_an_error(text):
    header = parse_header(text)
    assert (header.diffusion, header.counts, header.name) == ((), {}, "")


def test_the_header_names_counts_and_the_protocol():
    header = parse_header(XML)
    assert header.counts == {"slice": 40}
    assert (header.name, header.diffusion_counter) == ("dwi", "repetition")


def test_the_header_of_the_reference_package_is_read():
    ismrmrd = pytest.importorskip("ismrmrd", reason="the reference package of the format")
    xsd = ismrmrd.xsd
    weightings = [
        xsd.diffusionType(gradientDirection=xsd.gradientDirectionType(rl=1.0, ap=0.0, fh=0.0), bvalue=b)
        for b in (0.0, 1000.0)
    ]
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=127_000_000),
        sequenceParameters=xsd.sequenceParametersType(
            TR=[5.5], flipAngle_deg=[4.0, 18.0], diffusionDimension="contrast", diffusion=weightings
        ),
        measurementInformation=xsd.measurementInformationType(protocolName="noddi", patientPosition="HFS"),
    )
    found = parse_header(header.toXML())
    assert found.diffusion == ((0.0, (1.0, 0.0, 0.0)), (1000.0, (1.0, 0.0, 0.0)))
    assert (found.diffusion_counter, found.lists["flipAngle_deg"], found.lists["TR"], found.name) == (
        "contrast",
        (4.0, 18.0),
        (5.5,),
        "noddi",
    )
