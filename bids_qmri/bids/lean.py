"""nibabel without what it imports only in case: pydicom, for headers of a kind that is not read here.

It takes longer to import than nibabel itself, of which every participant of a cluster starts a process.
"""

from __future__ import annotations

import sys

# None in place of a module makes its import fail, which nibabel takes for "not installed".
_HIDDEN = [name for name in ("pydicom",) if not {name, "nibabel"} & sys.modules.keys()]
for _name in _HIDDEN:
    sys.modules[_name] = None  # type: ignore[assignment]
try:
    import nibabel as nib
    from nibabel.affines import voxel_sizes
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
finally:
    for _name in _HIDDEN:
        del sys.modules[_name]

__all__ = ["HeaderDataError", "ImageFileError", "nib", "voxel_sizes"]
