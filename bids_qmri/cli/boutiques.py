"""The command described for Boutiques (doi:10.1093/gigascience/giy016), from its own parser.

Run as ``python -m bids_qmri.cli.boutiques``: platforms such as CBRAIN and Clinica read what it prints.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from bids_qmri import __version__
from bids_qmri.cli.exit import MEANING
from bids_qmri.cli.parser import build_parser
from bids_qmri.cli.printing import print_text

SCHEMA = "0.5"

OPTIONS = "[OPTIONS]"
"""Where optional inputs go on the command line."""

PLAIN = (argparse.SUPPRESS, "==SUPPRESS==")


def descriptor() -> dict[str, Any]:
    """Return the description: inputs in the order of ``--help``, the outputs that every run writes."""
    parser = build_parser()
    inputs = [_input(action) for action in parser._actions if _described(action)]
    keys = " ".join(one["value-key"] for one in inputs if "command-line-flag" not in one)
    optional = " ".join(one["value-key"] for one in inputs if "command-line-flag" in one)
    return {
        "name": "bids_qmri",
        "description": parser.description,
        "tool-version": __version__,
        "schema-version": SCHEMA,
        "command-line": f"bids_qmri {keys} {optional}",
        "inputs": inputs,
        "output-files": [
            {
                "id": "output_dir_made",
                "name": "Derivative dataset",
                "path-template": "[OUTPUT_DIR]",
                "description": "Maps with their sidecars, pages, tables and logs.",
            }
        ],
        "error-codes": [
            {"code": int(code), "description": meaning} for code, meaning in MEANING.items() if int(code)
        ],
        "tags": {"domain": ["neuroinformatics", "mri"]},
    }


def _described(action: argparse.Action) -> bool:
    """Whether an action is an input: neither help nor version nor hidden."""
    return action.help not in PLAIN and action.dest not in ("help", "version")


def _input(action: argparse.Action) -> dict[str, Any]:
    """Return one input as Boutiques describes it."""
    key = action.dest.upper()
    found: dict[str, Any] = {
        "id": action.dest,
        "name": action.dest.replace("_", " "),
        "value-key": f"[{key}]",
        "description": str(action.help) % {"prog": "bids_qmri", "default": action.default},
        "optional": bool(action.option_strings),
        "type": "Flag" if action.nargs == 0 else _type(action),
    }
    if action.option_strings:
        found["command-line-flag"] = next(one for one in action.option_strings if one.startswith("--"))
    if action.choices is not None:
        found["value-choices"] = list(action.choices)
    if action.nargs in ("+", "*") or (isinstance(action.nargs, int) and action.nargs > 1):
        found["list"] = True
        if isinstance(action.nargs, int):
            found |= {"min-list-entries": action.nargs, "max-list-entries": action.nargs}
    return found


def _type(action: argparse.Action) -> str:
    """Return the type of a value. Numbers are text: several options take words in their place."""
    return "File" if action.dest in ("bids_dir", "bids_filter_file", "onnx", "network") else "String"


if __name__ == "__main__":
    print_text(json.dumps(descriptor(), indent=2, ensure_ascii=False) + "\n")
