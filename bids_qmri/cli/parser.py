"""The options of the command line: one function per group, nothing heavier than argparse.

Read by `cli/reading.py`; `cli/config.py` turns what was given into a `RunConfig`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from bids_qmri import catalogue
from bids_qmri.cli.argument_types import PrintVersion, gigabytes, label, limits, named_path, setting
from bids_qmri.cli.exit import MEANING
from bids_qmri.cli.spelling import Parser
from bids_qmri.options import number, options_by_title, transmit_unit

LEVELS = ("participant", "group")


def build_parser() -> argparse.ArgumentParser:
    """Return the complete parser."""
    codes = "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANING.items())
    parser = Parser(
        prog="bids_qmri",
        usage="%(prog)s BIDS_DIR OUTPUT_DIR {participant,group} [{participant,group}] [options]",
        description="Turn the quantitative MRI of a BIDS dataset into parameter maps and quality reports.",
        epilog=f"Exit codes: {codes}. Options that take several values may be repeated: all count. _ in an "
        "option is the same as -.",
    )
    _add_positionals(parser)
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option, by groups."""
    for add_group in (
        _add_selection,
        _add_estimation,
        _add_inputs,
        _add_motion,
        _add_techniques,
        _add_dicom,
        _add_resources,
        _add_run,
        _add_other,
    ):
        add_group(parser)


def _add_positionals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bids_dir", type=Path, metavar="BIDS_DIR", help="the dataset; never written to")
    parser.add_argument(
        "output_dir", type=Path, metavar="OUTPUT_DIR", help="where the derivative dataset goes"
    )
    parser.add_argument(
        "analysis_level",
        nargs="+",
        choices=LEVELS,
        help="participant: maps and one page each; group: tables and pages over all (reads OUTPUT_DIR only)",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to process")
    participant, session = label("sub"), label("ses")
    for flag, which in (
        ("--participant-label", "these participants only, with or without sub-"),
        ("--exclude-participant-label", "all but these participants"),
    ):
        action = group.add_argument(
            flag,
            nargs="+",
            action="extend",
            type=participant,
            default=[],
            metavar="LABEL",
            help=which,
        )
        action.completer = _labels_there  # type: ignore[attr-defined]
    group.add_argument(
        "--session-label",
        "--session-id",
        nargs="+",
        action="extend",
        type=session,
        default=[],
        metavar="LABEL",
        help="these sessions only, with or without ses-",
    )
    group.add_argument(
        "--bids-filter-file",
        type=Path,
        metavar="JSON",
        help='more entity filters per kind of input, as {"vfa": {"acquisition": "hires"}, "dwi": {...}}',
    )
    group.add_argument(
        "--person-column",
        metavar="NAME",
        help="group: column of participants.tsv with the same text for all participants that are one person, "
        "whose measurements are then repeats of each other",
    )


def _labels_there(**_: Any) -> list[str]:
    """Return the labels of the dataset that was typed first, for a shell to offer."""
    typed = os.environ["COMP_LINE"].split()
    return [path.name.removeprefix("sub-") for path in Path(typed[1]).glob("sub-*")]


def _add_estimation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models and estimators")
    group.add_argument(
        "--models",
        nargs="+",
        action="extend",
        choices=(*catalogue.model_names(), *catalogue.FORMER_NAMES),
        default=[],
        metavar="MODEL",
        help=f"default: every model that the data were made for; of {', '.join(catalogue.model_names())}",
    )
    words = catalogue.estimator_words()
    group.add_argument(
        "--estimators",
        "--methods",
        nargs="+",
        action="extend",
        choices=words,
        default=[],
        metavar="ESTIMATOR",
        help="default: lsq, and ncde for models whose network comes with this package; "
        f"of {', '.join(words)}. --methods is the former name",
    )
    group.add_argument(
        "--network",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="FILE",
        help="trained networks (ONNX): each is used for what its card says, beside the other estimators",
    )
    group.add_argument("--onnx", type=Path, metavar="FILE", help="former name of --network")
    _add_changes(group)


def _add_changes(group: argparse._ArgumentGroup) -> None:
    """Add what changes models and estimators."""
    group.add_argument(
        "--set",
        nargs="+",
        action="extend",
        type=setting,
        default=[],
        metavar="MODEL.SETTING=VALUE",
        help="what a model is told, as noddi.d_par=0.0015 (mm^2/s); docs/models.md lists the settings",
    )
    group.add_argument(
        "--bounds",
        nargs="+",
        action="extend",
        type=limits,
        default=[],
        metavar="NAME=LOW,HIGH",
        help="limits of parameters, as t1=0.1,5 (s), d=0,0.003 (mm^2/s), ndi=0.1,0.9",
    )
    group.add_argument(
        "--prior",
        default="scan",
        metavar="{scan,box,FILE}",
        help="where map, bayes and ncde expect the truth within the limits: as the scan itself shows "
        "(default), evenly, or as a TOML or JSON file says, which subjects of a study can share",
    )
    group.add_argument(
        "--noise",
        metavar="{SD,FLOOR:SCATTER,FILE}",
        help="noise of a single image in the unit of the images: one number, floor and scatter, or an image "
        "on the grid of the series; default: found from air, patches and residuals",
    )
    group.add_argument(
        "--tensor-fit",
        nargs="+",
        action="extend",
        choices=catalogue.estimator_words(),
        default=[],
        metavar="ESTIMATOR",
        help="what lsq and dipy mean for models with several such fits (tensors): ols, wls (default), "
        "nlls, restore",
    )
    group.add_argument(
        "--random-seed",
        type=number(int, lambda n: 0 <= n < 2**32, "a whole number, 0 or above and below 2^32"),
        default=0,
        metavar="N",
        help="of what draws random numbers (dipy's VarPro); recorded in every sidecar; default: 0",
    )


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("inputs")
    group.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        action="extend",
        type=named_path,
        default=[],
        metavar="NAME=PATH",
        help="derivative datasets with preprocessed inputs; the name masks is for masks alone",
    )
    group.add_argument(
        "--b0-threshold",
        type=number(float, lambda b: b >= 0, "a number, 0 or above"),
        default=50.0,
        metavar="B",
        help="b-values up to this many s/mm^2 count as b = 0; default: 50",
    )
    group.add_argument(
        "--b1-units",
        type=transmit_unit,
        default="auto",
        help="unit of B1+ maps: auto (as stated, else by median), factor, percent, or the value of nominal",
    )
    group.add_argument(
        "--mask",
        choices=("auto", "body", "brain"),
        default="auto",
        help="what an automatic mask is of: the whole object, its brain (needs the package's extra brain), "
        "or the brain where sidecars tell a head and the extra is installed (auto, default)",
    )
    group.add_argument(
        "--denoise",
        choices=("mppca",),
        help="denoise diffusion series of 10 images or more before they are fitted (dipy's MPPCA); "
        "default: no denoising",
    )
    group.add_argument(
        "--skip-bids-validation",
        action="store_true",
        help="accepted for compatibility: the dataset as a whole is never validated, what is read is checked",
    )
    group.add_argument(
        "--bids-database-dir",
        type=Path,
        metavar="PATH",
        help="accepted for compatibility and not used: every participant is indexed by itself",
    )


def _add_motion(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images that moved")
    group.add_argument(
        "--align",
        choices=("off", "rigid", "affine", "bspline"),
        default="off",
        help="align the images of a series before they are fitted (elastix, groupwise; needs the package's "
        "extra align): rigid for heads, bspline for organs that breathing moves; default: off",
    )
    group.add_argument(
        "--save-aligned",
        action="store_true",
        help="keep aligned images (desc-aligned) and their transforms beside the maps",
    )
    group.add_argument(
        "--no-motion",
        action="store_true",
        help="do not measure how far the images of a series moved, nor look for damaged ones",
    )
    group.add_argument(
        "--reject-outliers",
        action="store_true",
        help="leave out images of diffusion series with slices of dropped signal or spikes",
    )


def _add_techniques(parser: argparse.ArgumentParser) -> None:
    for title, options in options_by_title().items():
        group = parser.add_argument_group(title)
        for option in options:
            more: dict[str, Any] = {} if option.nargs is None else {"nargs": option.nargs}
            group.add_argument(
                option.flag, type=option.type, metavar=option.metavar, help=option.help, **more
            )


def _add_dicom(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("DICOM (needs the package's extra dicom)")
    group.add_argument(
        "--dicom", type=Path, metavar="DIR", help="write the maps as DICOM series into this folder as well"
    )
    group.add_argument(
        "--dicom-templates",
        type=Path,
        metavar="DIR",
        help="where patient and study come from: one DICOM file sub-LABEL[_ses-LABEL].dcm each; "
        "default: the label stands for the patient",
    )
    group.add_argument(
        "--dicom-parametric-maps",
        action="store_true",
        help="write each map as a floating-point Parametric Map, too (needs the extra parametric-map)",
    )


def _add_resources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("resources")
    group.add_argument(
        "-w", "--work-dir", type=Path, default=Path("work"), help="for intermediate files; default: ./work"
    )
    group.add_argument("--clean-workdir", action="store_true", help="empty the work directory first")
    group.add_argument(
        "--nprocs",
        "--nthreads",
        "--n-cpus",
        type=number(int, lambda n: n > 0, "a whole number above 0"),
        metavar="N",
        help="processes at a time; default: the processors this process may use",
    )
    group.add_argument(
        "--omp-nthreads",
        type=number(int, lambda n: n > 0, "a whole number above 0"),
        metavar="N",
        help="threads per process, which change no value; default: --nprocs for one participant, shared by "
        "the processes that it needs, 1 for several",
    )
    group.add_argument(
        "--mem",
        "--mem-mb",
        type=gigabytes,
        metavar="SIZE",
        help="memory to plan with, in MB or with a suffix K, M, G, T",
    )
    group.add_argument(
        "--resource-monitor",
        action="store_true",
        help="accepted for compatibility and not used: no resources are recorded",
    )
    group.add_argument("--use-plugin", type=Path, metavar="YAML", help="nipype plugin and plugin_args")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to run")
    group.add_argument(
        "--dry-run", action="store_true", help="print what would be done for whom, write nothing"
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="fit again what is complete and unchanged",
    )
    group.add_argument("--sloppy", action="store_true", help="coarse and quick, to test an installation only")
    group.add_argument("--reports-only", action="store_true", help="write the pages anew from existing maps")
    group.add_argument(
        "--report-by-session", action="store_true", help="one page per session instead of one for all"
    )
    group.add_argument("--boilerplate-only", action="store_true", help="write the methods text and stop")
    group.add_argument("--write-graph", action="store_true", help="write the graph of each workflow to logs/")
    group.add_argument("--stop-on-first-crash", action="store_true", help="do not go on after a failure")
    group.add_argument(
        "--config-file", type=Path, metavar="TOML", help="options as written to logs/; the command line wins"
    )


def _add_other(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("other")
    group.add_argument("--notrack", action="store_true", help="accepted; nothing is ever sent anywhere")
    group.add_argument("--debug", action="store_true", help="show tracebacks")
    group.add_argument(
        "-v", "--verbose", action="count", default=0, help="more messages; -vv: also of libraries"
    )
    group.add_argument("--version", action=PrintVersion)
