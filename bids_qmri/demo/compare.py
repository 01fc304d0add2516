"""Compare the maps of the demonstration with what was put in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import nibabel as nib
import numpy as np

from bids_qmri.bids.names import derivative_path
from bids_qmri.demo.dataset import PHANTOMS
from bids_qmri.demo.phantom import Phantom
from bids_qmri.outputs.tables import MapRow, output_table
from bids_qmri.units import FloatArray


class Compared(NamedTuple):
    """Maps of one model by one estimator, and what else is in the names of the images."""

    model: str
    estimator: str
    maps: tuple[str, ...]
    entities: Mapping[str, str] = MappingProxyType({})


COMPARED = (
    Compared("vfa", "lsq", ("t1",)),
    Compared("dti", "wls", ("md", "fa")),
    Compared("noddi", "ncde", ("ndi", "odi", "fwf"), {"acq": "shells"}),
    Compared("ivim", "lsq", ("d", "f", "dstar")),
    Compared("etofts", "lsq", ("ktrans", "ve", "vp")),
)


NOTE = """\
sd of a voxel: median standard deviation of the estimates, by which one voxel scatters; medians of a tissue
scatter less. Noise pushes FA and fractions up where they are near 0, and the network behind NDI, ODI and FWF
draws them towards what the rest of the scan shows: docs/numbers.md."""
"""What the errors of the table come from."""


class Row(NamedTuple):
    """One line of the table: the median of the maps in a tissue, beside what was put in.

    `sd` is the median standard deviation of a voxel, NaN where none is known.
    """

    quantity: str
    tissue: str
    truth: float
    estimate: float
    sd: float

    @property
    def error(self) -> str:
        """Deviation in percent, or as it is where the truth is 0."""
        deviation = self.estimate - self.truth
        # adding 0 turns -0.0 into 0.0
        return f"{round(100 * deviation / self.truth, 1) + 0:+.1f} %" if self.truth else f"{deviation:+.3g}"


def compare(results: Path) -> Iterator[Row]:
    """Yield one row per map and tissue, over all participants made of the same phantom.

    Parameters
    ----------
    results
        Output folder of the run.
    """
    for make in dict.fromkeys(PHANTOMS.values()):
        phantom = make()
        participants = [label for label, other in PHANTOMS.items() if other is make]
        for compared in COMPARED:
            for name in compared.maps:
                if name in phantom.tissues[0].truth:
                    table = output_table(compared.model)
                    maps, sds = (
                        np.stack([_read(results, label, row, compared) for label in participants])
                        for row in (table.estimate(name), table.sd(name))
                    )
                    yield from _rows(table.estimate(name), phantom, maps, sds)


def as_text(rows: Iterable[Row]) -> str:
    """Return rows as a table with a head."""
    line = "{:<16} {:<20} {:>10} {:>10} {:>9} {:>14}"
    lines = [line.format("map", "tissue", "truth", "estimate", "error", "sd of a voxel")]
    for row in rows:
        sd = "n/a" if np.isnan(row.sd) else f"{row.sd:.2g}"
        numbers = f"{row.truth:.4g}", f"{row.estimate:.4g}", row.error, sd
        lines.append(line.format(row.quantity, row.tissue, *numbers))
    return "\n".join(lines)


def _rows(row: MapRow, phantom: Phantom, maps: FloatArray, sds: FloatArray) -> Iterator[Row]:
    quantity = row.symbol if row.unit == "1" else f"{row.symbol} ({row.unit})"
    for label, tissue in enumerate(phantom.tissues, start=1):
        if np.isnan(tissue.truth[row.name]):
            continue
        here = phantom.labels == label
        median, sd = (_middle(values[:, here]) for values in (maps, sds))
        yield Row(quantity, tissue.name, tissue.truth[row.name], median, sd)


def _middle(values: FloatArray) -> float:
    """Return the median of what is known, NaN if nothing is."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else np.nan


def _read(results: Path, participant: str, row: MapRow, compared: Compared) -> FloatArray:
    entities = {"sub": participant, **compared.entities}
    name = derivative_path(entities, extension=".nii.gz", **row.name_parts(compared.estimator))
    return np.asarray(nib.load(results / name).dataobj, dtype=np.float64)
