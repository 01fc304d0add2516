"""From checked arguments to the `RunConfig` of a run, and to the TOML file that can repeat it."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_qmri import catalogue
from bids_qmri.cli.datasets import named_datasets
from bids_qmri.cli.dicom import check_dicom
from bids_qmri.cli.logs import LOGGER
from bids_qmri.cli.processors import available_processors
from bids_qmri.cli.reading import read_options_file
from bids_qmri.errors import InputError, UsageError
from bids_qmri.files import parse_json
from bids_qmri.options import model_settings, read_values
from bids_qmri.workflows.config import RunConfig

if TYPE_CHECKING:
    from bids_qmri.bids.acquisition import ReadOptions
    from bids_qmri.estimation.noise import ScanNoise
    from bids_qmri.estimation.prior import PriorChoice
    from bids_qmri.interfaces.job import DicomOutput

OF_A_FILE = ("mlp", "onnx")
"""Estimators that are nothing without a network file."""

MAY_BE_FILES = ("prior", "noise")
"""Options that are words or numbers, or files."""

SCRATCH = "bids_qmri"
"""Folder inside --work-dir that this program owns, and that --clean-workdir empties."""

COMMON_FILTERS = ("mask", "dseg")
"""Kinds of input of every technique that a filter file may filter."""

FMRIPREP_KINDS = ("bold", "sbref", "fmap", "flair", "t1w", "t2w", "roi")
"""Kinds of fMRIPrep's filter files, which people share between programs."""


def make_config(args: argparse.Namespace) -> RunConfig:
    """Check what needs the file system and return the choices of the run.

    Parameters
    ----------
    args
        What `cli.reading.parse` returned.

    Raises
    ------
    UsageError
        A folder or file is missing, unreadable, or lies where it must not.
    """
    bids_dir, output_dir = args.bids_dir.resolve(), args.output_dir.resolve()
    work_dir = args.work_dir.resolve()
    _check_folders(bids_dir, output_dir, work_dir, needs_data="participant" in args.analysis_level)
    check_dicom(args.dicom, args.dicom_templates, "--dicom-templates", args.dicom_parametric_maps)
    run_id = f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
    return RunConfig(
        bids_dir=bids_dir,
        output_dir=output_dir,
        work_dir=work_dir / SCRATCH,
        run_id=run_id,
        levels=tuple(sorted(set(args.analysis_level), reverse=True)),
        read=_read_options(args),
        participants=_unique(args.participant_label),
        exclude_participants=_unique(args.exclude_participant_label),
        models=_models(args.models),
        estimators=_unique(args.estimators),
        prefer=_unique(args.tensor_fit),
        networks=_networks(args),
        bounds=_bounds(args.bounds),
        prior=_prior(args.prior),
        noise=_noise(args.noise),
        settings=_settings(args),
        random_seed=args.random_seed,
        dicom=_dicom(args, bids_dir, output_dir, run_id),
        nprocs=args.nprocs or available_processors(),
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
        force=args.force,
        debug=args.debug,
        person_column=args.person_column,
    )


def read_filters(path: Path) -> dict[str, dict[str, Any]]:
    """Read a filter file: a JSON object of objects, entity names and values per kind of input."""
    content = read_options_file(path, parse_json, field="--bids-filter-file", needed="a JSON file")
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
        elif key == "set":
            yield key, [f"{model}.{name}={number!r}" for model, name, number in value]
        elif key == "mem":
            yield key, f"{value}G"
        elif isinstance(value, Path):
            yield key, str(value.resolve())
        elif key in MAY_BE_FILES and Path(value).is_file():
            yield key, str(Path(value).resolve())
        elif isinstance(value, list) and any(isinstance(item, Path) for item in value):
            yield key, [str(item.resolve()) for item in value]
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
            "is the dataset itself", file=output_dir, field="OUTPUT_DIR", fix="name another folder"
        )
    if output_dir.is_relative_to(bids_dir) and not output_dir.is_relative_to(bids_dir / "derivatives"):
        raise UsageError(
            "lies inside the dataset, where its files would be read as raw data",
            file=output_dir,
            field="OUTPUT_DIR",
            fix="name a folder outside of it or below its derivatives/",
        )
    if work_dir.is_relative_to(bids_dir):
        raise UsageError(
            "lies inside the dataset, which is never written to",
            file=work_dir,
            field="--work-dir",
            fix="name a folder outside of it",
        )
    if work_dir.is_relative_to(output_dir):
        raise UsageError(
            "lies inside the results, which must hold nothing else",
            file=work_dir,
            field="--work-dir",
            fix="name a folder outside of them",
        )


def _read_options(args: argparse.Namespace) -> ReadOptions:
    from bids_qmri.bids.acquisition import ReadOptions

    if args.save_aligned and args.align == "off":
        raise UsageError(
            "is given, but no image is aligned",
            field="--save-aligned",
            needed="--align",
            fix="add --align rigid, affine or bspline, or leave --save-aligned out",
        )
    return ReadOptions(
        sessions=_unique(args.session_label),
        filters={} if args.bids_filter_file is None else read_filters(args.bids_filter_file),
        derivatives=named_datasets(args.derivatives),
        b0_threshold=args.b0_threshold,
        b1_units=args.b1_units,
        mask=args.mask,
        denoise=args.denoise,
        align=None if args.align == "off" else args.align,
        save_aligned=args.save_aligned,
        motion=not args.no_motion,
        reject_outliers=args.reject_outliers,
        values=read_values(vars(args)),
    )


def filter_kinds() -> tuple[str, ...]:
    """Return the kinds of input that a filter file may filter."""
    extra = (getattr(import_module(place), "FILTERS", ()) for place in catalogue.readers().values())
    return (*catalogue.kinds(), *COMMON_FILTERS, *(kind for kinds in extra for kind in kinds))


def _dicom(args: argparse.Namespace, bids_dir: Path, output_dir: Path, run_id: str) -> DicomOutput | None:
    """Return how maps are written as DICOM files, which neither dataset may hold."""
    if args.dicom is None:
        return None
    from bids_qmri.interfaces.job import DicomOutput

    folder = args.dicom.resolve()
    for dataset in (bids_dir, output_dir):
        if folder.is_relative_to(dataset):
            raise UsageError(
                f"lies inside {dataset}, which is a BIDS dataset",
                file=folder,
                field="--dicom",
                fix="name a folder outside of it",
            )
    templates = args.dicom_templates and args.dicom_templates.resolve()
    return DicomOutput(folder, templates, args.dicom_parametric_maps, run_id)


def _models(words: list[str]) -> tuple[str, ...]:
    for word in words:
        if word in catalogue.FORMER_NAMES:
            LOGGER.warning("--models: %s is now called %s", word, catalogue.FORMER_NAMES[word])
    return _unique([catalogue.FORMER_NAMES.get(word, word) for word in words])


def _networks(args: argparse.Namespace) -> tuple[Path, ...]:
    """Return the absolute paths of networks, whose cards say what they are for."""
    given = [("--network", file) for file in args.network]
    if args.onnx is not None:
        LOGGER.info("--onnx is now called --network, and says by itself what it is for")
        given.append(("--onnx", args.onnx))
    for option, file in given:
        if not file.is_file():
            raise UsageError("is not a file", file=file, field=option, needed="an ONNX file")
    files = tuple(dict.fromkeys(file.resolve() for _, file in given))
    _require_use(files, args)
    return files


def _require_use(files: tuple[Path, ...], args: argparse.Namespace) -> None:
    """Refuse networks that nothing here is for, and estimators that lack theirs."""
    used: set[str] = set()
    if files:
        # Not at the top: --help can do without.
        from bids_qmri.estimators.networks.own import network_use

        try:
            uses = {file: network_use(file) for file in files}
        except InputError as error:
            field = f"--network {'' if error.field == 'network' else error.field or ''}".strip()
            raise UsageError(
                error.seen, file=error.file, field=field, needed=error.needed, fix=error.fix
            ) from error
        used = {label for _, label in uses.values()}
        models = {catalogue.FORMER_NAMES.get(name, name) for name in args.models}
        for file, (model, _) in uses.items():
            if models and model not in models:
                LOGGER.warning("%s is not used: it is a network for %s, not among --models", file.name, model)
    for word in args.estimators:
        if word in OF_A_FILE and word not in used:
            raise UsageError(
                f"is asked for without a network of that kind{' among those given' if files else ''}",
                field=f"--estimators {word}",
                needed="--network FILE",
                fix=f"give the network; {word} is then used without being asked for",
            )


def _settings(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return what models are told, if they have such settings and the values can be meant."""
    found = model_settings(vars(args))
    for model, name, value in args.set:
        found.setdefault(catalogue.FORMER_NAMES.get(model, model), {})[name] = value
    for model, settings in found.items():
        if model not in catalogue.model_names():
            raise UsageError(
                f"there is no model {model!r}",
                field="--set",
                needed=f"one of {', '.join(catalogue.model_names())}",
            )
        try:
            catalogue.get_model(model, **settings)
        except InputError as error:
            raise UsageError(
                error.seen, field=f"--set {error.field}", needed=error.needed, fix=error.fix
            ) from error
    return found


def _bounds(pairs: list[tuple[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Return limits by parameter, if these exist and their physical limits allow them."""
    if not pairs:
        return {}
    # Not at the top: it imports numpy, which --help can do without.
    from bids_qmri.physics.limits import check_bounds

    models = map(catalogue.get_model, catalogue.model_names())
    check_bounds(models, dict(pairs), field="--bounds", error=UsageError)
    return dict(pairs)


def _prior(choice: str) -> PriorChoice:
    """Return a word, or the priors of a file."""
    from bids_qmri.estimation.prior import WORDS, read_priors

    if choice in WORDS:
        return choice
    path = Path(choice)
    if not path.is_file():
        raise UsageError(
            f"is {choice!r}, and there is no such file",
            field="--prior",
            needed=f"{', '.join(WORDS)}, or a file of priors",
        )
    try:
        return read_priors(path, [catalogue.get_model(name) for name in catalogue.model_names()])
    except InputError as error:
        raise UsageError(
            error.seen,
            file=error.file,
            field=f"--prior {error.field or ''}".strip(),
            needed=error.needed,
            fix=error.fix,
        ) from error


def _noise(text: str | None) -> ScanNoise | Path | None:
    """Return the noise that a person states, or the image that holds it."""
    from bids_qmri.estimation.noise import ScanNoise
    from bids_qmri.physics.noise import Noise

    if text is None:
        return None
    if Path(text).is_file():
        return Path(text).resolve()
    try:
        levels = [float(part) for part in text.split(":")]
    except ValueError:
        levels = []
    stated = len(levels) in (1, 2) and all(0 < level < float("inf") for level in levels)
    if not stated or levels[0] > levels[-1]:
        raise UsageError(
            f"is {text!r}",
            field="--noise",
            needed="a standard deviation above 0, FLOOR:SCATTER with the smaller first, or an image",
        )
    return ScanNoise.told(Noise(levels[0], levels[-1]))


def _read_plugin(path: Path) -> dict[str, Any]:
    # Not at the top: few runs need it, and it costs more than all of the parser.
    import yaml

    content = read_options_file(path, yaml.safe_load, field="--use-plugin", needed="a YAML file")
    if not isinstance(content, dict) or not isinstance(content.get("plugin"), str):
        raise UsageError(
            "names no plugin", file=path, field="--use-plugin", needed="a line such as plugin: MultiProc"
        )
    return content


def _unique(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
