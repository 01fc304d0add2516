"""Images of transmit fields: those whose ratios tell it, and maps in a scale of the scanner's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.b1_images import PAIRS, SCALED, FieldImages, field_images, known_scale
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.bids.sidecar import common, read_sidecar
from bids_qmri.errors import InputError
from bids_qmri.files import one_fault
from bids_qmri.physics.transmit import DoubleAngle
from bids_qmri.units import radians

WITHOUT_FORMULA = {
    "TB1SRGE": (
        "the look-up table of SA2RAGE takes the angle of the saturation pulse and the excitations before the"
        " centre of each train, which no key tells",
        "make a TB1map of it by the vendor's or the authors' program, with Units",
    ),
    "RB1COR": (
        "which images are of which coil is told by labels alone, and the receive field is a smooth version of"
        " their ratio that no formula defines",
        "none is needed for relaxation times and MTsat, which do not depend on it; correct PD and M0 by a"
        " tool for bias fields",
    ),
}
"""What is not computed, why, and what helps."""

SUFFIXES = (*PAIRS, *SCALED, *WITHOUT_FORMULA)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the images of transmit fields of a participant.

    Parameters
    ----------
    files
        The raw dataset.
    derivatives, others
        Not needed.
    options
        Filters; the unit of maps.
    """
    images = [f for f in files.images(SUFFIXES) if matches(f, options.filters.get("tb1", {}))]
    found: list[Acquisition | Unusable] = []
    for suffix in SUFFIXES:
        varying = PAIRS.get(suffix, ("acq", "part"))
        for group in group_by([image for image in images if image.suffix == suffix], *varying):
            entities = group[0].without(*varying)
            label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), suffix])
            try:
                with one_fault(group[0].path):
                    found.append(_acquisition(suffix, group, entities, files, options))
            except InputError as error:
                fault = not isinstance(error, NoModelError)
                found.append(Unusable(label, error, fault=fault, kind="tb1"))
    return found


def _acquisition(
    suffix: str,
    group: Sequence[BidsFile],
    entities: Mapping[str, str],
    files: ParticipantFiles,
    options: ReadOptions,
) -> Acquisition:
    if suffix in WITHOUT_FORMULA:
        why, fix = WITHOUT_FORMULA[suffix]
        seen = f"{len(group)} {suffix} image(s): {why}"
        raise NoModelError(seen, file=group[0].path, needed="a transmit field as a TB1map", fix=fix)
    notes: list[str] = []
    if suffix in SCALED:
        images = _scaled(suffix, group, files, options, notes)
    else:
        images = field_images(suffix, group, [read_sidecar(image, files) for image in group], notes)
    return Acquisition(
        kind="tb1",
        entities=dict(entities),
        datatype="fmap",
        images=images.paths,
        sources=(*images.paths, *dict.fromkeys(f for sidecar in images.sidecars for f in sidecar.files)),
        metadata=common(images.sidecars),
        protocol=images.protocol,
        notes=tuple(dict.fromkeys(notes)),
        scale=images.scale,
    )


def _scaled(
    suffix: str, group: Sequence[BidsFile], files: ParticipantFiles, options: ReadOptions, notes: list[str]
) -> FieldImages:
    maps = [image for image in group if not image.entities.get("acq", "").startswith("anat")]
    if len(maps) != 1:
        raise InputError(
            f"{len(maps)} maps of the flip angle: {', '.join(image.path.name for image in maps) or 'none'}",
            file=group[0].path,
            field="acq",
            needed="one, named acq-famp, beside acq-anat",
            fix="add it, or leave others out with --bids-filter-file",
        )
    sidecar = read_sidecar(maps[0], files)
    known = known_scale(maps[0], sidecar, options)
    if known is None:
        raise NoModelError(
            "no stated scale",
            file=maps[0].path,
            field="Units",
            needed="what the map reads where the flip angle is nominal",
            fix='write Units ("percent", or "degree" beside FlipAngle; makers store degrees x 10 too:'
            ' "degree*10"), or pass --b1-units VALUE',
        )
    protocol, words = known
    notes.append(f"{maps[0].path.name}: read as {words}")
    return FieldImages((maps[0].path,), protocol, (sidecar,))


def from_files(in_files: Sequence[Path], *, flip_angles: Sequence[float]) -> Acquisition:
    """Return the acquisition of two images that do not lie in a dataset, one angle and its double.

    Parameters
    ----------
    in_files
        3-D magnitude images.
    flip_angles
        In degrees, in the order of the images.

    Raises
    ------
    InputError
        If there are not two of each.
    """
    if len(in_files) != 2 or len(flip_angles) != 2:
        raise InputError(
            f"{len(flip_angles)} flip angles beside {len(in_files)} images", field="flip_angles", needed="two"
        )
    return files_acquisition("tb1", "fmap", in_files, DoubleAngle(radians(flip_angles)))
