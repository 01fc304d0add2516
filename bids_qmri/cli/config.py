"""From checked arguments to the `RunConfig` of a run, and to the TOML file that can repeat it."""

from __future__ import annotations

import argparse
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bids_qmri.cli.dicom import check_dicom
from bids_qmri.errors import UsageError
from bids_qmri.workflows.config import RunConfig

SCRATCH = "bids_qmri"
"""Folder inside --work-dir that this program owns, and that --clean-workdir empties."""

FILTER_KINDS = ("vfa", "dwi", "dce", "mask", "dseg", "t1map")
"""Kinds of input that a filter file may filter."""

FMRIPREP_KINDS = ("bold", "sbref", "fmap", "flair", "t1w", "t2w", "roi")
"""Kinds of fMRIPrep's filter files, which people share between programs."""


def make_config(args: argparse.Namespace) -> RunConfig:
    """Check what needs the file system and return the choices of the run.

    Parameters
    ----------
    args
        What `cli.parser.parse` returned.

    Raises
    ------
    UsageError
        A folder or file is missing, unreadable, or lies where it must not.
    """
    bids_dir, output_dir = args.bids_dir.resolve(), args.output_dir.resolve()
    work_dir = args.work_dir.resolve()
    _check_folders(bids_dir, output_dir, work_dir, needs_data="participant" in args.analysis_level)
    check_dicom(args.dicom, args.dicom_templates, "--dicom-templates", args.dicom_parametric_maps)
    return RunConfig(
        bids_dir=bids_dir,
        output_dir=output_dir,
        work_dir=work_dir / SCRATCH,
        run_id=f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}",
        levels=tuple(sorted(set(args.analysis_level), reverse=True)),
        participants=_unique(args.participant_label),
        exclude_participants=_unique(args.exclude_participant_label),
        sessions=_unique(args.session_label),
        filters={} if args.bids_filter_file is None else read_filters(args.bids_filter_file),
        derivatives=_derivatives(args.derivatives),
        models=_unique(args.models),
        methods=_unique(args.methods),
        tensor_fits=_unique(args.tensor_fit),
        network=_network(args.network, "--network", "mlp", args.methods),
        onnx=_network(args.onnx, "--onnx", "onnx", args.methods),
        bounds=_bounds(args.bounds),
        diffusivities=_diffusivities(args.noddi_diffusivities),
        random_seed=args.random_seed,
        b0_threshold=args.b0_threshold,
        b1_units=args.b1_units,
        relaxivity=args.relaxivity,
        hematocrit=args.hematocrit,
        t10=args.t10,
        aif=args.aif,
        baseline_volumes=args.baseline_volumes,
        dicom=_dicom_folder(args.dicom, bids_dir, output_dir),
        dicom_templates=args.dicom_templates and args.dicom_templates.resolve(),
        dicom_parametric_maps=args.dicom_parametric_maps,
        nprocs=args.nprocs or _available_processors(),
        omp_nthreads=args.omp_nthreads,
        memory_gb=args.mem,
        plugin={} if args.use_plugin is None else _read_plugin(args.use_plugin),
        dry_run=args.dry_run,
        sloppy=args.sloppy,
        reports_only=args.reports_only,
        report_by_session=args.report_by_session,
        boilerplate_only=args.boilerplate_only,
        write_graph=args.write_graph,
        stop_on_first_crash=args.stop_on_first_crash,
        debug=args.debug,
    )


def read_filters(path: Path) -> dict[str, dict[str, Any]]:
    """Read a filter file: a JSON object of objects, entity names and values per kind of input."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot be read ({error})", file=path, field="--bids-filter-file", needed="a JSON file"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
        raise UsageError(
            "is not an object of objects",
            file=path,
            field="--bids-filter-file",
            needed='entity filters per kind of input, as {"vfa": {"acquisition": "hires"}}',
        )
    return content


def to_toml(args: argparse.Namespace) -> str:
    """Spell arguments as a file for --config-file; options that are not set are left out."""
    lines = ["# Options of one run of bids_qmri; repeat it with --config-file."]
    lines += [f"{key} = {_toml(value)}" for key, value in _spelled(vars(args))]
    return "\n".join(lines) + "\n"


def _spelled(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield options in the spelling of the command line, every path absolute."""
    for key, value in values.items():
        if value is None or key == "config_file":
            continue
        if key == "derivatives":
            yield key, [f"{name}={path.resolve()}" for name, path in value]
        elif key == "bounds":
            yield key, [f"{name}={low!r},{high!r}" for name, (low, high) in value]
        elif key == "mem":
            yield key, f"{value}G"
        elif isinstance(value, Path):
            yield key, str(value.resolve())
        else:
            yield key, value


def _toml(value: object) -> str:
    """Spell a text, number, boolean or list of these; JSON and TOML agree on them."""
    return json.dumps(value, ensure_ascii=False)


def _check_folders(bids_dir: Path, output_dir: Path, work_dir: Path, needs_data: bool) -> None:
    if needs_data and not bids_dir.is_dir():
        raise UsageError(
            "is not a folder", file=bids_dir, field="BIDS_DIR", needed="the root of a BIDS dataset"
        )
    if output_dir == bids_dir:
        raise UsageError(
            "is the dataset itself", file=output_dir, field="OUTPUT_DIR", way_out="name another folder"
        )
    if output_dir.is_relative_to(bids_dir) and not output_dir.is_relative_to(bids_dir / "derivatives"):
        raise UsageError(
            "lies inside the dataset, where its files would be read as raw data",
            file=output_dir,
            field="OUTPUT_DIR",
            way_out="name a folder outside of it or below its derivatives/",
        )
    if work_dir.is_relative_to(bids_dir):
        raise UsageError(
            "lies inside the dataset, which is never written to",
            file=work_dir,
            field="--work-dir",
            way_out="name a folder outside of it",
        )
    if work_dir.is_relative_to(output_dir):
        raise UsageError(
            "lies inside the results, which must hold nothing else",
            file=work_dir,
            field="--work-dir",
            way_out="name a folder outside of them",
        )


def _dicom_folder(folder: Path | None, bids_dir: Path, output_dir: Path) -> Path | None:
    """Return the absolute folder for DICOM files, which neither dataset may hold."""
    if folder is None:
        return None
    folder = folder.resolve()
    for dataset in (bids_dir, output_dir):
        if folder.is_relative_to(dataset):
            raise UsageError(
                f"lies inside {dataset}, which is a BIDS dataset",
                file=folder,
                field="--dicom",
                way_out="name a folder outside of it",
            )
    return folder


def _derivatives(pairs: list[tuple[str, Path]]) -> dict[str, Path]:
    names = [name for name, _ in pairs]
    for name, path in pairs:
        if name == "raw" or names.count(name) > 1:
            raise UsageError(
                "is the name of BIDS_DIR itself" if name == "raw" else "is given more than once",
                field=f"--derivatives {name}",
                needed="one name per dataset, by which sidecars point to its files",
                way_out="choose another name",
            )
        if not path.is_dir():
            raise UsageError(
                "is not a folder",
                file=path,
                field=f"--derivatives {name}",
                needed="the root of a derivative dataset",
            )
    return {name: path.resolve() for name, path in pairs}


def _network(path: Path | None, option: str, method: str, methods: list[str]) -> Path | None:
    """Return the absolute path of the network of a method; both must be given, or neither."""
    if (path is not None) != (method in methods):
        given = f"is not given with --methods {method}"
        raise UsageError(
            given if path is None else f"{path} is given without --methods {method}",
            field=option,
            needed="both or neither",
        )
    if path is not None and not path.is_file():
        raise UsageError("is not a file", file=path, field=option, needed="an ONNX file")
    return None if path is None else path.resolve()


def _bounds(pairs: list[tuple[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Return limits by parameter, if these exist and their physical limits allow them."""
    if not pairs:
        return {}
    # Not at the top: it imports numpy, which --help can do without.
    from bids_qmri.models.registry import widest_bounds

    widest = widest_bounds()
    for name, (low, high) in pairs:
        if name not in widest:
            raise UsageError(
                f"there is no parameter {name!r}", field="--bounds", needed=f"one of {', '.join(widest)}"
            )
        if low < widest[name][0] or high > widest[name][1]:
            raise UsageError(
                f"{name} from {low:g} to {high:g}",
                field="--bounds",
                needed=f"limits within {widest[name][0]:g} and {widest[name][1]:g}, in the unit of its map",
            )
    return dict(pairs)


def _diffusivities(pair: list[float] | None) -> tuple[float, float] | None:
    if pair is None:
        return None
    along, free = pair
    if along >= free:
        raise UsageError(
            f"{along:g} along neurites and {free:g} in free water",
            field="--noddi-diffusivities",
            needed="free water to be the faster",
            way_out="write the diffusivity along neurites first",
        )
    return along, free


def _read_plugin(path: Path) -> dict[str, Any]:
    # Not at the top: few runs need it, and it costs more than all of the parser.
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            f"cannot be read ({' '.join(str(error).split())})",
            file=path,
            field="--use-plugin",
            needed="a YAML file",
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("plugin"), str):
        raise UsageError(
            "names no plugin", file=path, field="--use-plugin", needed="a line such as plugin: MultiProc"
        )
    return content


def _unique(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _available_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
