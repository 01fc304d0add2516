"""Tiny output datasets, written with the package's own writers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_qmri.bids.derivatives import write_map, write_sidecar
from bids_qmri.bids.names import derivative_path
from bids_qmri.completion.record import Completion, FitEntry, as_fields, completion_path, hash_outputs
from bids_qmri.outputs.tables import output_table
from bids_qmri.qc.metrics import map_metrics

SHAPE = (6, 5, 3)
VOXELS = 90
COUNT = {"direction": 3, "colour": 3, "tensor": 6}
OF_NEIGHBOURS = ("safety", "shift")
"""Maps of the estimator that looks at neighbours alone."""

WriteFit = Callable[..., Path]


def vouch_for(output_dir: Path, label: str) -> None:
    """Write the completion record of a participant, as a run does at its end."""
    outputs = hash_outputs(output_dir, label)
    named = [name for name in outputs if name.endswith("_qc.json")]
    fits = {name: FitEntry("vfa", "lsq", "asked", "inputs", (name,)) for name in named}
    record = Completion("ok", fits=fits, outputs=outputs)
    write_sidecar(completion_path(output_dir, label), as_fields(record))


@pytest.fixture
def write_fit(tmp_path: Path) -> WriteFit:
    """Return a function that writes one fit of a participant below tmp_path and returns its quality file."""

    def write(
        entities: Mapping[str, str] = {"sub": "01"},
        model: str = "vfa",
        label: str = "lsq",
        *,
        scale: float = 1.0,
        images: bool = True,
        sidecar: Mapping[str, Any] | None = None,
        determined: np.ndarray | None = None,
        **fields: Any,
    ) -> Path:
        table = output_table(model)
        status = np.full(VOXELS, 1, dtype=np.uint8)
        status[:10], status[10] = 0, 4
        values = np.where(status == 0, 0, np.linspace(0.1, 2, VOXELS) * scale).astype(np.float32)
        values[10] = np.nan
        maps = [row for row in table.maps if row.name not in OF_NEIGHBOURS]
        names = [row.name for row in maps if not row.volumes]
        rows = [*maps, table.sd(names[0]), table.rmse]
        known = {} if determined is None else {names[0]: determined.astype(np.uint8)}
        contents = [*((row, values) for row in rows), (table.status, status)]
        contents += [(table.determined(name), part) for name, part in known.items()]
        for row, content in contents if images else ():
            path = tmp_path / derivative_path(entities, extension=".nii.gz", **row.name_parts(label))
            # Numbers of a voxel that are several are alike here.
            several = np.stack([content] * COUNT[row.volumes], axis=-1) if row.volumes else content
            write_map(path, several, SHAPE, np.eye(4), (1, 1, 1))
            write_sidecar(
                Path(str(path).replace(".nii.gz", ".json")), {"Sources": ["bids:raw:a"], **(sidecar or {})}
            )
        estimates = dict.fromkeys(names, values)
        metrics = map_metrics(estimates, {names[0]: values}, values, status, determined=known)
        quality = tmp_path / derivative_path(entities, extension=".json", **table.qc_parts(label))
        write_sidecar(quality, {"Metrics": metrics, "SoftwareVersion": "9.8.7"} | fields)
        vouch_for(tmp_path, entities["sub"])
        return quality

    return write
