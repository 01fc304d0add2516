"""The command that trains a network for one diffusion scheme."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from bids_qmri.cli.train import main
from bids_qmri.techniques.noddi.scheme_network import load_scheme_network
from bids_qmri.training.recipe import recipe_text


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    directions = np.random.default_rng(0).standard_normal((3, 20))
    directions /= np.linalg.norm(directions, axis=0)
    directions[:, :2] = 0.0
    files = [tmp_path / "dwi.bval", tmp_path / "dwi.bvec"]
    np.savetxt(files[0], np.repeat([0, 700, 2000], [2, 6, 12])[None], fmt="%d")
    np.savetxt(files[1], directions, fmt="%.6f")
    return [str(file) for file in files]


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """Return a recipe that trains in a second."""
    file = tmp_path / "small.toml"
    text = recipe_text("rot2025-noddi").replace("count = 262144", "count = 1500")
    file.write_text(text.replace("epochs = 500", "epochs = 1"))
    return str(file)


def test_options_reach_the_network(tables: list[str], recipe: str, tmp_path: Path) -> None:
    options = ["--labels", "composite", "--weight", "0.3", "--dpar", "1.1e-3", "--snr", "25", "--seed", "3"]
    code = main([recipe, "--scheme", *tables, "--output", str(tmp_path / "out"), *options])
    assert code == 0
    (file,) = (tmp_path / "out").glob("noddi-composite-*.onnx")
    card = load_scheme_network(file).card
    assert card["labels"] == {"kind": "composite", "weight": 0.3, "likelihood": "gaussian"}
    assert (card["d_par"], card["d_iso"], card["seed"]) == (1.1e-3, 3.0e-3, 3)
    assert card["coverage"]["snr"] == [25.0, 25.0]
    assert np.sum(np.array(card["scheme"]["bvals"]) == 2000) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["noddi"], "--scheme: no scheme is given"),
        (["noddi", "--scheme", "{0}", "{1}", "--weight", "2"], "labels.weight: is 2.0; needed: 0 to 1"),
        (["noddi", "--scheme", "{0}", "{1}", "--bvals", "0", "10"], "bvals given for noddi"),
        (["ncde-vfa", "--snr", "10"], "snr given for ncde-vfa; needed: noddi"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], message: str, tables: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(*tables) for word in arguments]) == 2
    assert message in capsys.readouterr().err


def test_tables_that_do_not_belong_together_are_refused(
    tables: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["noddi", "--scheme", tables[1], tables[1]]) == 1
    assert "one row of b-values" in capsys.readouterr().err
