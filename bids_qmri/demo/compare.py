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


class Row(NamedTuple):
    """One line of the table: the median of the maps in a tissue, beside what was put in."""

    quantity: str
    tissue: str
    truth: float
    estimate: float

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
                    row = output_table(compared.model).estimate(name)
                    maps = [_read(results, label, row, compared) for label in participants]
                    yield from _rows(row, phantom, np.stack(maps))


def as_text(rows: Iterable[Row]) -> str:
    """Return rows as a table with a head."""
    line = "{:<16} {:<20} {:>10} {:>10} {:>9}"
    lines = [line.format("map", "tissue", "truth", "estimate", "error")]
    lines += [line.format(r.quantity, r.tissue, f"{r.truth:.4g}", f"{r.estimate:.4g}", r.error) for r in rows]
    return "\n".join(lines)


def _rows(row: MapRow, phantom: Phantom, maps: FloatArray) -> Iterator[Row]:
    quantity = row.symbol if row.unit == "1" else f"{row.symbol} ({row.unit})"
    for label, tissue in enumerate(phantom.tissues, start=1):
        if np.isnan(tissue.truth[row.name]):
            continue
        median = np.nanmedian(maps[:, phantom.labels == label])
        yield Row(quantity, tissue.name, tissue.truth[row.name], float(median))


def _read(results: Path, participant: str, row: MapRow, compared: Compared) -> FloatArray:
    entities = {"sub": participant, **compared.entities}
    name = derivative_path(entities, extension=".nii.gz", **row.name_parts(compared.estimator))
    return np.asarray(nib.load(results / name).dataobj, dtype=np.float64)
