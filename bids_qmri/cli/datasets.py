"""Named derivative datasets of the command line: paths that exist, under names of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_qmri.cli.logs import LOGGER
from bids_qmri.errors import UsageError


def named_datasets(pairs: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Return the datasets of ``--derivatives`` by name, each name once.

    Parameters
    ----------
    pairs
        Names and paths in the order of the command line.

    Raises
    ------
    UsageError
        If a path is no folder, or a name has a meaning of its own.
    """
    found: dict[str, Path] = {}
    for name, path in pairs:
        if name == "raw" or (name == "masks" and found.get(name, path.resolve()) != path.resolve()):
            raise UsageError(
                "is the name of BIDS_DIR itself" if name == "raw" else "is given for two datasets",
                field=f"--derivatives {name}",
                needed="one name per dataset, by which sidecars point to its files",
                fix="choose another name",
            )
        if not path.is_dir():
            raise UsageError(
                "is not a folder",
                file=path,
                field=f"--derivatives {name}",
                needed="the root of a derivative dataset",
            )
        found[_own_name(name, path.resolve(), found)] = path.resolve()
    return found


def _own_name(name: str, path: Path, found: Mapping[str, Path]) -> str:
    """Return the name of a dataset, with a number where another dataset has it."""
    own, number = name, 2
    while own in found and found[own] != path:
        own, number = f"{name}{number}", number + 1
    if own != name:
        LOGGER.warning("-d %s is given for two datasets: %s is called %s in sidecars", name, path, own)
    return own
