"""The description for Boutiques says what the command says."""

from __future__ import annotations

import json
from pathlib import Path

from bids_qmri.cli.boutiques import descriptor
from bids_qmri.cli.parser import build_parser

FILE = Path(__file__).parents[2] / "examples" / "bids_qmri.boutiques.json"


def test_the_file_describes_the_command_as_it_is() -> None:
    """After a change of options: python -m bids_qmri.cli.boutiques > examples/bids_qmri.boutiques.json."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == json.loads(json.dumps(descriptor()))


def test_what_it_describes_is_what_the_parser_takes() -> None:
    known = {one["id"]: one for one in descriptor()["inputs"]}
    given = ["/data", "/out", "participant", known["participant_label"]["command-line-flag"], "01", "02"]
    given += [known["aif"]["command-line-flag"], known["aif"].get("value-choices", ["parker"])[0]]
    args = build_parser().parse_args(given)
    assert args.participant_label == ["01", "02"]
    assert all(one["value-key"] in descriptor()["command-line"] for one in known.values())
