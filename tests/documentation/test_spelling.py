"""Pages, docstrings and messages hold no misspelt words; ``typos.toml`` has what is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

PLACES = (str(Path(sys.executable).parent), os.environ.get("PATH", ""))
TYPOS = shutil.which("typos", path=os.pathsep.join(PLACES))


def misspelt(*arguments: str, said: str = "") -> str:
    if TYPOS is None:
        pytest.skip("typos is not installed")
    command = [TYPOS, "--config", str(ROOT / "typos.toml"), "--format", "brief", *arguments]
    done = subprocess.run(command, cwd=ROOT, input=said, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2), done.stderr
    return done.stdout


def test_no_word_is_misspelt() -> None:
    assert not misspelt(".")


@pytest.mark.parametrize("word", ["recieve", "the colour of a fiber", "seperate"])
def test_mistakes_would_be_found(word: str) -> None:
    assert misspelt("-", said=word)
