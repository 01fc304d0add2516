"""The client of docs/inline.md is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import synth

pytest.importorskip("ismrmrd", reason="the reference package of the format")

PAGE = Path(__file__).parents[2] / "docs" / "inline.md"


def test_the_documented_client_gets_maps(port, tmp_path, monkeypatch, capsys):
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    synth.add_noddi(synth.new_dataset(tmp_path))
    monkeypatch.chdir(tmp_path)
    exec(program.replace("9002", str(port)), {})
    lines = capsys.readouterr().out.splitlines()
    slices = synth.SHAPE[2]
    assert [line.split()[0] for line in lines] == [
        name for name in ("ndi", "odi", "fwf") for _ in range(slices)
    ]
    assert all(0 <= float(line.split()[-1]) <= 1 for line in lines)
