"""The command that trains networks: what it is told, by old options as well, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from bids_qmri.cli.train import main
from bids_qmri.techniques.noddi.scheme_network import load_scheme_network
from bids_qmri.training.recipe import shipped_recipes

SMALL = ["data.count=1500", "training.epochs=1"]

TINY = [
    "data.groups=3",
    "data.validation_groups=2",
    "data.curves=32",
    "training.batch=16",
    "training.steps=3",
]


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    directions = np.random.default_rng(0).standard_normal((3, 20))
    directions /= np.linalg.norm(directions, axis=0)
    directions[:, :2] = 0.0
    files = [tmp_path / "dwi.bval", tmp_path / "dwi.bvec"]
    np.savetxt(files[0], np.repeat([0, 700, 2000], [2, 6, 12])[None], fmt="%d")
    np.savetxt(files[1], directions, fmt="%.6f")
    return [str(file) for file in files]


def test_recipes_are_listed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()[:-1]
    assert [line.partition(": ")[0] for line in lines] == list(shipped_recipes())
    assert "ncde-vfa: Anchored neural controlled differential equation, VFA" in lines


@pytest.mark.parametrize("option", ["--help", "--list"])
def test_help_and_list_need_no_torch(option: str) -> None:
    code = (
        f"import sys; sys.modules['torch'] = None\nfrom bids_qmri.cli.train import main; main([{option!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom bids_qmri.cli.train import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    )
    code += "heavy = {'numpy', 'torch', 'scipy', 'nibabel'} & set(sys.modules); assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--flip-angles" not in done.stdout


def test_missing_packages_are_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom bids_qmri.cli.train import main\n"
    code += f"sys.exit(main(['ncde-vfa', '--output', {str(tmp_path)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "torch is not installed; needed: the packages for training" in done.stderr
    assert "pip install bids_qmri[train]" in done.stderr


def test_values_that_are_set_reach_the_network(tables: list[str], tmp_path: Path) -> None:
    settings = [f"scheme.bval={tables[0]}", f"scheme.bvec={tables[1]}", "labels.kind=composite"]
    settings += ["labels.weight=0.3", "settings.d_par=1.1e-3", "data.snr=25"]
    code = main(["noddi", "--set", *SMALL, *settings, "--seed", "3", "--output", str(tmp_path / "out")])
    assert code == 0
    (file,) = (tmp_path / "out").glob("noddi-composite-*.onnx")
    card = load_scheme_network(file).card
    assert card["labels"] == {"kind": "composite", "weight": 0.3, "likelihood": "gaussian"}
    assert (card["d_par"], card["d_iso"], card["seed"]) == (1.1e-3, 3.0e-3, 3)
    assert card["coverage"]["snr"] == [25.0, 25.0]
    assert np.sum(np.array(card["scheme"]["bvals"]) == 2000) == 12
    assert card["set"]["data.snr"] == 25


def test_options_of_earlier_versions_do_the_same_and_say_so(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--labels", "composite", "--weight", "0.3", "--dpar", "1.1e-3", "--snr", "25", "--seed", "3"]
    output = ["--output", str(tmp_path / "out"), "--set", *SMALL]
    assert main(["noddi", "--scheme", *tables, "--b0-threshold", "60", *options, *output]) == 0
    (file,) = (tmp_path / "out").glob("noddi-composite-*.json")
    card = json.loads(file.read_text())
    assert card["labels"] == {"kind": "composite", "weight": 0.3, "likelihood": "gaussian"}
    assert (card["d_par"], card["seed"], card["coverage"]["snr"]) == (1.1e-3, 3, [25.0, 25.0])
    assert card["scheme"]["b0_threshold"] == 60.0
    messages = capsys.readouterr().err
    assert f"--scheme will go; write --set scheme.bval={tables[0]} scheme.bvec={tables[1]}" in messages
    assert "--snr will go; write --set data.snr=25.0" in messages


def test_a_protocol_of_ones_own_by_either_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["data.count=300", "data.validation=100", "training.epochs=1", "training.batches=2"]
    for name, words in {
        "now": ["--set", "protocol.flip_angle=2,8,20", "protocol.repetition_time=0.006"],
        "former": ["--flip-angles", "2", "8", "20", "--tr", "0.006"],
    }.items():
        assert main(["mlp-vfa", *words, "--set", *tiny, "--output", str(tmp_path / name)]) == 0
    assert "--flip-angles will go; write --set protocol.flip_angle=2.0,8.0,20.0" in capsys.readouterr().err
    now, former = (json.loads((tmp_path / name / "mlp-vfa.json").read_text()) for name in ("now", "former"))
    np.testing.assert_allclose(now["protocol"]["flip_angle"], [2.0, 8.0, 20.0])
    assert now["protocol"] == former["protocol"]
    assert now["recipe_digest"] == former["recipe_digest"]


def test_the_last_line_says_how_to_use_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ncde-vfa", "--output", str(tmp_path), "--set", *TINY]) == 0
    first, *_, last = capsys.readouterr().err.strip().splitlines()
    assert first == "INFO: reading recipe ncde-vfa"
    file = tmp_path / "ncde-vfa.onnx"
    assert last.endswith(f"participant --models vfa --network {file}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RECIPE: no recipe is given; needed: a name that --list shows"),
        (["ncde-knee"], "neither a shipped recipe nor a file; needed: one of kuppens2025-dce,"),
        (["noddi"], "scheme: no scheme is given"),
        (["noddi", "--set", "scheme.bval={0}"], "scheme.bvec: is None; needed: the name of a .bvec file"),
        (["noddi", "--scheme", "{0}", "{1}", "--weight", "2"], "labels.weight: is 2.0; needed: 0 to 1"),
        (
            ["noddi", "--scheme", "{0}", "{1}", "--bvals", "0", "10"],
            "unknown: protocol; needed: a table scheme",
        ),
        (["ncde-vfa", "--snr", "10"], "data.snr: is 10.0; needed: a list of a number, a number"),
        (["ncde-ivim", "--bvals", "0", "10", "600"], "unknown: protocol.bvals"),
        (["ncde-vfa", "--set", "training.speed=2"], "unknown: training.speed; needed: batch, clip,"),
        (["ncde-vfa", "--set", "training.steps"], "--set: is 'training.steps'; needed: section.key=value"),
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
