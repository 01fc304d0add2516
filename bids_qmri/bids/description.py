"""What describes an output dataset as a whole: dataset_description.json, README and .bidsignore."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bids_qmri.bids.derivatives import write_atomic, write_sidecar
from bids_qmri.errors import InputError, UsageError
from bids_qmri.files import SIDECAR_LIMIT, TABLE_LIMIT, parse_json, read_text

BIDS_VERSION = "1.11.1"
NAME = "bids_qmri"

IGNORED = (
    "*.html",
    "figures",
    "log",
    "logs",
    "*_timeseries.*",
    "*_qc.*",
    "group_*",
    "*_model-*",
)
"""Patterns of .bidsignore beside those of maps: reports, and what BIDS has no name for yet."""

README = """Quantitative MRI maps
=====================

Parameter maps that bids_qmri {version} fitted to the images of the dataset which dataset_description.json
names under SourceDatasets. Open index.html in a browser: it leads to the page of every participant.

- A map, such as *_desc-lsq_T1map.nii.gz, has the label of its estimator behind desc-. The JSON file of the
  same name says its unit, the images it was made from, and where every assumed value came from.
- desc-<label>Std is the standard deviation of the map, as the noise of the images makes it: errors of the
  transmit field, motion and a model that does not hold are not in it.
- desc-<label>Determined is 0 where the images do not determine the value. Do not average over these voxels.
- desc-<label>Status says what happened in each voxel; 0 is a fit without problems. Its JSON file has all
  codes.
- group_<model>.tsv has one line per fit and region, once the group level was run; its JSON file says what the
  columns mean.

How the maps were made, in words for a paper and with references: logs/CITATION.md. Maps are research results:
not a medical device, not for clinical decisions.
"""
"""Written where a dataset has no README yet; from then on it belongs to its readers."""

_ACKNOWLEDGE = "Cite the works listed in logs/CITATION.md, which describes what was run."


def write_dataset_description(
    output_dir: Path,
    bids_dir: Path,
    version: str,
    datasets: Mapping[str, Path] | None = None,
    unknown: Iterable[str] = (),
) -> None:
    """Write dataset_description.json, README and .bidsignore; files that say the same already are left alone.

    Several jobs may call this at once: each writes a complete file, with the links of all that it found.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    bids_dir
        Root of the raw dataset.
    version
        Version of this package.
    datasets
        Further datasets that were read, by name.
    unknown
        Suffixes of maps that BIDS has no name for.

    Raises
    ------
    UsageError
        The folder holds a dataset that another program made.
    """
    path = output_dir / "dataset_description.json"
    existing = _read_own(path)
    links = {"raw": bids_dir, **(datasets or {})}
    wanted: dict[str, Any] = {
        "Name": "Quantitative MRI maps by bids_qmri",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [_generator(version)],
        "HowToAcknowledge": _ACKNOWLEDGE,
        "SourceDatasets": [_source(bids_dir, output_dir)],
        "DatasetLinks": existing.get("DatasetLinks", {})
        | {name: _relative(root, output_dir) for name, root in links.items()},
    }
    # Keys that people added (Authors, License) stay.
    wanted = existing | wanted
    if wanted != existing:
        write_sidecar(path, wanted)
    if not any(output_dir.glob("README*")):
        write_atomic(output_dir / "README", README.format(version=version).encode("utf-8"))
    _write_bidsignore(output_dir / ".bidsignore", [*(f"*_{suffix}.*" for suffix in unknown), *IGNORED])


def _read_own(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    existing = _read_object(path)
    makers = existing.get("GeneratedBy")
    first = makers[0] if isinstance(makers, list) and makers else makers
    name = first.get("Name") if isinstance(first, dict) else None
    if name != NAME:
        raise UsageError(
            f"the dataset was made by {name or 'an unknown program'}",
            file=path,
            needed=f"an empty folder or one written by {NAME}",
            fix="choose another output folder",
        )
    return existing


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(path, SIDECAR_LIMIT))
    except InputError as error:
        raise UsageError(error.seen, file=path, needed=error.needed, fix=error.fix) from error
    except ValueError as error:
        raise UsageError(f"is not JSON: {error}", file=path, fix="repair or remove the file") from error
    if not isinstance(content, dict):
        raise UsageError("is not a JSON object", file=path, fix="repair or remove the file")
    return content


def _generator(version: str) -> dict[str, Any]:
    """Name this software; image and code address are known only where its builder set them."""
    maker: dict[str, Any] = {"Name": NAME, "Version": version}
    if url := os.environ.get("BIDS_QMRI_CODE_URL"):
        maker["CodeURL"] = url
    parts = {key: os.environ.get(f"BIDS_QMRI_CONTAINER_{key.upper()}") for key in ("Type", "Tag", "URI")}
    container = {key: value for key, value in parts.items() if value}
    return maker | ({"Container": container} if container else {})


def _source(bids_dir: Path, output_dir: Path) -> dict[str, str]:
    source = {"URL": _relative(bids_dir, output_dir)}
    description = bids_dir / "dataset_description.json"
    if not description.exists():
        return source
    doi = _read_object(description).get("DatasetDOI")
    return source | ({"DOI": doi} if isinstance(doi, str) else {})


def _relative(root: Path, output_dir: Path) -> str:
    """Return a relative URI, which survives moving both datasets together."""
    return quote(Path(os.path.relpath(root.resolve(), output_dir.resolve())).as_posix())


def _write_bidsignore(path: Path, patterns: Sequence[str]) -> None:
    try:
        lines = (
            read_text(path, TABLE_LIMIT, fix="repair or remove the file").splitlines()
            if path.exists()
            else []
        )
    except InputError as error:
        raise UsageError(error.seen, file=path, needed=error.needed, fix=error.fix) from error
    missing = [pattern for pattern in patterns if pattern not in lines]
    if missing:
        write_atomic(path, ("\n".join([*lines, *missing]) + "\n").encode("utf-8"))
