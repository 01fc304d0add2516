"""What a reader raises costs the scan that it was raised about: the others are read without it.

Readers turn what is wrong with one acquisition into a word themselves. This is for what they did not foresee:
the scan to blame is the one without which the reader gets through.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by
from bids_qmri.bids.quantitative import VARYING
from bids_qmri.errors import InputError, UsageError
from bids_qmri.files import as_input_error

LOGGER = logging.getLogger("bids_qmri")

Found = list[Acquisition | Unusable]
Reader = Callable[
    [ParticipantFiles, Mapping[str, ParticipantFiles], ReadOptions, Sequence[Acquisition | Unusable]], Found
]

MOST_SCANS = 200
"""So many are tried; a participant with more has the whole kind refused."""


def read_kind(
    kind: str,
    reader: Reader,
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable],
) -> Found:
    """Return what a reader finds, and a fault for what makes it raise.

    Parameters
    ----------
    kind
        Of its acquisitions, for the message.
    reader
        The function ``find`` of a reader.
    files, derivatives, options, others
        Its arguments.
    """
    try:
        return reader(files, derivatives, options, others)
    except UsageError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        LOGGER.debug("the reader of %s raised at %s:%s", kind, last.filename, last.lineno)
        fault = as_input_error(error, files.root / f"sub-{files.participant}")
    own = [file for file in files.files if file.is_image and file.entities.get("sub") == files.participant]
    for scan in group_by(own, *VARYING)[:MOST_SCANS]:
        try:
            found = reader(_without(files, scan), derivatives, options, others)
        except Exception:  # not this one alone
            continue
        return [*found, _blamed(scan[0], fault)]
    return [Unusable(f"sub-{files.participant} {kind}", fault)]


def _without(files: ParticipantFiles, scan: Sequence[BidsFile]) -> ParticipantFiles:
    gone = {image.path for image in scan}
    return replace(files, files=tuple(file for file in files.files if file.path not in gone))


def _blamed(image: BidsFile, fault: InputError) -> Unusable:
    """Return a fault of a scan, of which the first image is named if the fault names none of its files."""
    named = str(fault.file or "")
    file = fault.file if named.endswith(image.path.name) or named.count(image.stem) else image.path
    error = InputError(fault.seen, file=file, field=fault.field, needed=fault.needed, fix=fault.fix)
    return Unusable(image.stem, error)
