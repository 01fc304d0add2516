"""Phases of gradient echoes, ``*_echo-N_part-phase_MEGRE.nii.gz``, with magnitudes of the same echo times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.image_type import part_of, shown
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.measured import one_scale, require_unique
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.phases import phase_scale
from bids_qmri.bids.sequence import NoModelError, require_gradient_echo
from bids_qmri.bids.sidecar import Sidecar, common, read_sidecar
from bids_qmri.bids.varied import VariedSeries, in_order
from bids_qmri.errors import InputError
from bids_qmri.files import one_fault
from bids_qmri.techniques.fieldmap.protocol import LONGEST, ComplexEchoes, PhaseImages

SUFFIXES = ("MEGRE",)
OWN = ("echo", "part")
"""Entities that differ between the images of one scan."""
SERIES = VariedSeries("fieldmap", "MEGRE", "echo", "EchoTime", "echo time", LONGEST)


@dataclass(frozen=True)
class Part:
    """Magnitudes or phases of one scan: its images, and sidecar and echo time in s of every echo."""

    images: tuple[BidsFile, ...]
    sidecars: tuple[Sidecar, ...]
    times: tuple[float, ...]

    def order(self) -> list[int]:
        """Return the echoes by their times."""
        return sorted(range(len(self.times)), key=self.times.__getitem__)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the gradient-echo series with phases of a participant; magnitudes alone are no matter of it.

    Parameters
    ----------
    files
        The raw dataset.
    derivatives, others
        Not needed: phases are not registered or averaged.
    options
        Filters.
    """
    filters = options.filters.get("fieldmap", {})
    kept = [image for image in files.all_parts(SUFFIXES) if matches(image, filters)]
    found: list[Acquisition | Unusable] = []
    for group in group_by(kept, *OWN):
        if not any(_shows_phase(image, files) for image in group):
            continue
        entities = group[0].without(*OWN)
        try:
            with one_fault(group[0].path):
                found.append(_acquisition(group, entities, files))
        except InputError as error:
            label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), *SUFFIXES, "phase"])
            # Phases accompany magnitudes: what is wrong with them is said, and the participant does not fail.
            found.append(Unusable(label, error, fault=False, kind="fieldmap"))
    return found


def _shows_phase(image: BidsFile, files: ParticipantFiles) -> bool:
    if "part" in image.entities:
        return image.entities["part"] == "phase"
    try:
        return shown(read_sidecar(image, files))[1] == "phase"
    except InputError:
        return False  # what is wrong with magnitudes is told where these are fitted


def _acquisition(
    group: Sequence[BidsFile], entities: Mapping[str, str], files: ParticipantFiles
) -> Acquisition:
    require_unique(group)
    notes: list[str] = []
    sidecars = {image: read_sidecar(image, files) for image in group}
    parts = {image: part_of(image, sidecars[image]) for image in group}
    phases = _part([image for image in group if parts[image] == "phase"], sidecars, notes)
    if len(phases.times) < 2:
        raise NoModelError(
            f"one phase image, of echo time {phases.times[0]:g} s",
            file=phases.sidecars[0].where("EchoTime"),
            field="EchoTime",
            needed="phases of two echo times or more: the field is their slope",
            fix="add the other part-phase images; T2* does not need them",
        )
    magnitudes = _magnitudes([image for image in group if parts[image] == "mag"], phases, sidecars, notes)
    chosen = [phases] if magnitudes is None else [magnitudes, phases]
    images, volumes = _measurements(chosen)
    own = [sidecar for part in chosen for sidecar in part.sidecars]
    protocol = ComplexEchoes(np.sort(phases.times), np.asarray(float(magnitudes is not None)))
    scale = () if magnitudes is None else one_scale(magnitudes.sidecars, notes, ("EchoTime",))
    notes.append(
        f"frequencies are told within {-protocol.limit:.4g} to {protocol.limit:.4g} Hz, by the closest"
        f" echoes, {500 / protocol.limit:.4g} ms apart: those beyond appear shifted by multiples of"
        f" {2 * protocol.limit:.4g} Hz; positive where the phase rises with echo time as it is stored"
    )
    return Acquisition(
        kind="fieldmap",
        entities=dict(entities),
        datatype="fmap",
        images=images,
        sources=(*images, *dict.fromkeys(file for sidecar in own for file in sidecar.files)),
        metadata={key: value for key, value in common(own).items() if key != "EchoTime"},
        protocol=protocol,
        settings=PhaseImages(phase_scale([image.path for image in phases.images])),
        notes=tuple(dict.fromkeys(notes)),
        volumes=volumes,
        scale=() if volumes is not None or not scale else (*scale, *[1.0] * len(phases.times)),
    )


def _tick(time: float) -> int:
    """Return an echo time in whole microseconds: those that differ by less are one."""
    return round(1e6 * time)


def _part(images: Sequence[BidsFile], sidecars: Mapping[BidsFile, Sidecar], notes: list[str]) -> Part:
    """Return the echoes of one part, each once."""
    for image in images:
        require_gradient_echo(sidecars[image], notes)
    found, own, times = in_order(SERIES, images, [sidecars[image] for image in images], notes)
    ticks = [_tick(time) for time in times]
    twice = [i for i in range(1, len(times)) if ticks[i] in ticks[:i]]
    if twice:
        names = ", ".join(image.path.name for image in found)
        raise InputError(
            f"is {times[twice[0]]:g} twice: {names}",
            file=own[twice[0]].where("EchoTime"),
            field="EchoTime",
            needed="one image of every echo time",
            fix="correct the key, or leave others out with --bids-filter-file",
        )
    return Part(tuple(found), tuple(own), tuple(times))


def _magnitudes(
    images: Sequence[BidsFile], phases: Part, sidecars: Mapping[BidsFile, Sidecar], notes: list[str]
) -> Part | None:
    """Return the magnitudes of the echo times of phases, or None and why weights are equal."""
    without = "all echoes weigh the same, and no standard deviation is known"
    if not images:
        notes.append(
            f"no magnitudes beside {phases.images[0].path.name}: {without}; give a mask (-d masks=PATH)"
        )
        return None
    every = _part(images, sidecars, notes)
    wanted, there = ({_tick(time) for time in part.times} for part in (phases, every))
    missing = [time for time in phases.times if _tick(time) not in there]
    if missing:
        names = ", ".join(f"{time:g} s" for time in missing)
        notes.append(f"no magnitude image of echo time {names}: {without}; give a mask (-d masks=PATH)")
        return None
    if len(every.times) == len(phases.times):
        return every
    if len(every.images) < len(every.times):
        notes.append(f"more magnitudes than phases in {every.images[0].path.name}: {without}")
        return None
    kept = [i for i, time in enumerate(every.times) if _tick(time) in wanted]
    return Part(*(tuple(values[i] for i in kept) for values in (every.images, every.sidecars, every.times)))  # type: ignore[arg-type]


def _measurements(parts: Sequence[Part]) -> tuple[tuple[Path, ...], tuple[int, ...] | None]:
    """Return files, and which of all their volumes are the echoes in order; None: each file is one."""
    images = tuple(image.path for part in parts for image in part.images)
    if all(read_header(path).n_volumes == 1 for path in images):
        return images, None
    volumes: list[int] = []
    for part in parts:
        volumes += [len(volumes) + place for place in part.order()]
    return images, tuple(volumes)


def from_files(in_files: Sequence[Path], *, echo_times: Sequence[float]) -> Acquisition:
    """Return the acquisition of images that do not lie in a dataset.

    Parameters
    ----------
    in_files
        3-D phase images, one per echo time; or as many magnitude images before them.
    echo_times
        In s, in the order of the images.

    Raises
    ------
    InputError
        If there are not one or two images per time.
    """
    count = len(echo_times)
    if count < 2 or len(in_files) not in (count, 2 * count):
        raise InputError(
            f"{count} echo times beside {len(in_files)} images",
            field="echo_times",
            needed="two or more in s, and a phase image for each, after as many magnitude images if any",
        )
    weighted = np.asarray(float(len(in_files) > count))
    protocol = ComplexEchoes(np.asarray(echo_times, dtype=np.float64), weighted)
    settings = PhaseImages(phase_scale([Path(file) for file in in_files[-count:]]))
    return files_acquisition("fieldmap", "fmap", in_files, protocol, settings=settings)
