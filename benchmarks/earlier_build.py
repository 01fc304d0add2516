"""The same voxels by an earlier build of the package, in a process of its own: maps and processor seconds.

For other benchmarks. An earlier build is a folder with ``bids_qmri`` in it; commit 51ac61a, before there were
priors, two noise levels and neighbours, is what figures are compared with.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bids_qmri.physics.model import Bounds
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

SCRIPT = """
import sys, time
import numpy as np
given = np.load(sys.argv[1])
name, label, repeats = str(given["model"]), str(given["label"]), int(given["repeats"])
played = {key[9:]: given[key] for key in given.files if key.startswith("protocol_")}
bounds = {key[7:]: tuple(given[key]) for key in given.files if key.startswith("bounds_")} or None
try:
    from bids_qmri.estimators.registry import get_estimator
    from bids_qmri import protocol as kinds
    if bounds is None and name != "noddi" and label in ("map", "bayes", "ncde"):
        from bids_qmri.estimators.priors import prior_box
        from bids_qmri.models.registry import get_model
        bounds = prior_box(get_model(name))
    protocol = getattr(kinds, str(given["kind"]))(**played)
    one = get_estimator(name, label)
    fit = lambda part: one(signal[part], protocol, sigma[part], bounds)
except ImportError:
    from bids_qmri.catalogue import get_model
    from bids_qmri.estimators.base import get_estimator
    model = get_model(name)
    protocol, one = model.protocol(**played), get_estimator(name, label)
    if bounds is None:
        bounds = one.limits(model, {}, {})
    fit = lambda part: one.fit(model, signal[part], protocol, sigma=sigma[part], bounds=bounds)
signal, sigma = given["signal"], given["sigma"]
fit(slice(64))
spent = []
for _ in range(repeats):
    begin = time.process_time()
    found = fit(slice(None))
    spent.append(time.process_time() - begin)
import bids_qmri
np.savez(sys.argv[2], seconds=spent, source=bids_qmri.__file__, **found.maps)
"""


@dataclass(frozen=True)
class Fitted:
    """What a build found: maps (V,) by name, and processor seconds of every repeat of the fit."""

    maps: dict[str, FloatArray]
    seconds: FloatArray


def fit_by(
    build: Path,
    model: str,
    label: str,
    signal: FloatArray,
    protocol: Protocol,
    sigma: FloatArray,
    *,
    bounds: Bounds | None = None,
    repeats: int = 1,
) -> Fitted:
    """Fit voxels by the package in a folder.

    Parameters
    ----------
    build
        Folder that holds ``bids_qmri``, this build or an earlier one.
    model, label
        Words of ``--models`` and ``--estimators``.
    signal, protocol, sigma
        Voxels (V, N), what was played out, and the noise of one image, (V,).
    bounds
        None: those of the command line of the build.
    repeats
        Times that the fit is timed, after a first call of few voxels.
    """
    played = {item.name: getattr(protocol, item.name) for item in fields(protocol)}  # type: ignore[arg-type]
    given: dict[str, Any] = {f"protocol_{name}": value for name, value in played.items() if value is not None}
    given |= {f"bounds_{name}": limits for name, limits in (bounds or {}).items()}
    environment = dict(os.environ) | {"PYTHONPATH": str(build)}
    with TemporaryDirectory() as scratch:
        told, answer = Path(scratch) / "told.npz", Path(scratch) / "answer.npz"
        np.savez(
            told,
            model=model,
            label=label,
            kind=type(protocol).__name__,
            repeats=repeats,
            signal=signal,
            sigma=np.broadcast_to(sigma, (len(signal),)),
            **given,
        )
        command = [sys.executable, "-c", SCRIPT, str(told), str(answer)]
        subprocess.run(command, check=True, cwd=build, env=environment)
        with np.load(answer) as found:
            if not Path(str(found["source"])).is_relative_to(build.resolve()):
                raise RuntimeError(f"{found['source']} was imported, not the package in {build}")
            maps = {name: found[name] for name in found.files if name not in ("seconds", "source")}
            return Fitted(maps, found["seconds"])
