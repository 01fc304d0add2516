"""Bring segmentations and brain masks of fMRIPrep or QSIPrep onto the grids of quantitative images.

python examples/regions_to_grid.py IMAGES SEGMENTED OUTPUT

IMAGES is the dataset whose images are fitted, SEGMENTED a derivative dataset with ``*_dseg`` or
``*_desc-brain_mask`` images of the same participants. They are put where their headers say that they lie,
nearest voxel, into the derivative dataset OUTPUT, for ``bids_qmri -d regions=OUTPUT``. Nothing is registered:
of a participant who moved between two images regions lie beside the tissue, so look at them. Images in the
space of a template are left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
from nibabel.processing import resample_from_to

FITTED = ("VFA", "IRT1", "MESE", "MEGRE", "MPM", "MTS", "MTR", "MP2RAGE", "UNIT1", "dwi", "dce")
"""Suffixes of images that maps are fitted to."""

OF_ONE_IMAGE = ("flip", "inv", "echo", "mt", "part", "desc")
"""Entities by which images of one series differ."""

WANTED = ("anat/*_dseg.nii.gz", "anat/*_desc-brain_mask.nii.gz")
OF_A_TEMPLATE = ("MNI", "fsaverage", "from-", "desc-preproc")


def main() -> int:
    """Write the images and return 0, or 1 if there was nothing to bring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("images", "segmented", "output"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    args = parser.parse_args()
    written = 0
    for folder in (*sorted(args.images.glob("sub-*/")), *sorted(args.images.glob("sub-*/ses-*/"))):
        where = folder.relative_to(args.images)
        for name, grid in grids(folder).items():
            # Segmentations of a participant are those of all sessions.
            for place in dict.fromkeys((where, Path(where.parts[0]))):
                written += bring(grid, args.segmented / place, args.output / where / name)
    print(f"{written} images written to {args.output}")
    if not written:
        return 1
    about = {"Name": "Regions on the grids of quantitative images", "BIDSVersion": "1.11.1"}
    about |= {"DatasetType": "derivative", "GeneratedBy": [{"Name": "regions_to_grid.py"}]}
    (args.output / "dataset_description.json").write_text(json.dumps(about, indent=2) + "\n")
    for table in args.segmented.glob("*dseg.tsv"):
        shutil.copy(table, args.output)
    return 0


def grids(folder: Path) -> dict[Path, nib.Nifti1Image]:
    """Return an image of each series, by the name of the series in a participant's or session's folder."""
    found: dict[Path, nib.Nifti1Image] = {}
    for suffix in FITTED:
        for path in sorted(folder.glob(f"*/*_{suffix}.nii.gz")):
            parts = path.name.split("_")[:-1]
            kept = [part for part in parts if part.partition("-")[0] not in OF_ONE_IMAGE]
            name = Path(path.parent.name, "_".join([*kept, f"res-{suffix}"]))
            found.setdefault(name, nib.load(path))
    return found


def bring(grid: nib.Nifti1Image, segmented: Path, stem: Path) -> int:
    """Write what is segmented of a participant or session onto a grid; return how many images."""
    count = 0
    for source in (path for pattern in WANTED for path in sorted(segmented.glob(pattern))):
        if any(word in source.name for word in OF_A_TEMPLATE):
            continue
        parts = source.name.removesuffix(".nii.gz").split("_")
        kept = [part for part in parts if part.startswith(("label-", "desc-")) or "-" not in part]
        path = stem.with_name("_".join([stem.name, *kept]))
        path.parent.mkdir(parents=True, exist_ok=True)
        moved = resample_from_to(nib.load(source), (grid.shape[:3], grid.affine), order=0)
        nib.save(moved, f"{path}.nii.gz")
        table = source.with_name(source.name.replace(".nii.gz", ".tsv"))
        if table.exists():
            shutil.copy(table, f"{path}.tsv")
        count += 1
    return count


if __name__ == "__main__":
    sys.exit(main())
