"""What both commands check before they promise DICOM files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bids_qmri.errors import UsageError


def check_dicom(folder: Path | None, template: Path | None, option: str, parametric_maps: bool) -> None:
    """Refuse options that need others, packages that are not there, and a template that does not exist.

    Parameters
    ----------
    folder
        Value of ``--dicom``.
    template, option
        Where patient and study come from, and the option that says so.
    parametric_maps
        Value of ``--dicom-parametric-maps``.

    Raises
    ------
    UsageError
        Something of it is missing.
    """
    if folder is None:
        for given, name in ((template is not None, option), (parametric_maps, "--dicom-parametric-maps")):
            if given:
                raise UsageError("is given without --dicom", field=name, needed="both or neither")
        return
    if template is not None and not template.exists():
        raise UsageError("does not exist", file=template, field=option, needed="DICOM of patient and study")
    _require("pydicom", "dicom", "--dicom")
    if parametric_maps:
        _require("highdicom", "parametric-map", "--dicom-parametric-maps")


def _require(package: str, extra: str, option: str) -> None:
    if find_spec(package) is None:
        raise UsageError(
            f"needs the package {package}, which is not installed",
            field=option,
            fix=f"pip install 'bids_qmri[{extra}]'",
        )
