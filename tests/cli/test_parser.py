"""Every flag, in the spellings that users of other BIDS-Apps know."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_qmri import catalogue
from bids_qmri.cli.reading import parse
from bids_qmri.errors import UsageError
from bids_qmri.techniques.dce.options import POPULATION_INPUTS

MODELS, WORDS = catalogue.model_names(), catalogue.estimator_words()

BASE = ["/data", "/out", "participant"]


def test_defaults() -> None:
    args = parse(BASE)
    assert (args.bids_dir, args.output_dir) == (Path("/data"), Path("/out"))
    assert args.analysis_level == ["participant"]
    assert (args.estimators, args.tensor_fit, args.models) == ([], [], [])
    assert args.work_dir == Path("work")
    assert (args.b0_threshold, args.b1_units, args.random_seed, args.omp_nthreads) == (50.0, "auto", 0, None)


@pytest.mark.parametrize(
    ("tokens", "name", "value"),
    [
        (["--participant-label", "01", "sub-02"], "participant_label", ["01", "02"]),
        (["--participant-label", "sub-sub"], "participant_label", ["sub"]),
        (["--exclude-participant-label", "sub-b"], "exclude_participant_label", ["b"]),
        (["--session-label", "ses-1", "2"], "session_label", ["1", "2"]),
        (["--session-id", "1"], "session_label", ["1"]),
        (["--bids-filter-file", "f.json"], "bids_filter_file", Path("f.json")),
        (["--models", *MODELS], "models", list(MODELS)),
        (["--estimators", *WORDS], "estimators", list(WORDS)),
        (["--methods", "lsq"], "estimators", ["lsq"]),
        (["--set", "noddi.d_par=1e-3"], "set", [("noddi", "d_par", 1e-3)]),
        (["--network", "n.onnx", "m.onnx"], "network", [Path("n.onnx"), Path("m.onnx")]),
        (["--bounds", "t1=0.1,5", "D=0,3e-3"], "bounds", [("t1", (0.1, 5.0)), ("d", (0.0, 3e-3))]),
        (["--tensor-fit", "ols", "wls"], "tensor_fit", ["ols", "wls"]),
        (["-d", "masks=/m", "pre=/p"], "derivatives", [("masks", Path("/m")), ("pre", Path("/p"))]),
        (["--derivatives", "masks=/a=b"], "derivatives", [("masks", Path("/a=b"))]),
        (["-w", "/w"], "work_dir", Path("/w")),
        (["--work-dir", "/w"], "work_dir", Path("/w")),
        (["--nprocs", "3"], "nprocs", 3),
        (["--nthreads", "3"], "nprocs", 3),
        (["--n-cpus", "3"], "nprocs", 3),
        (["--n_cpus", "3"], "nprocs", 3),
        (["--omp-nthreads", "2"], "omp_nthreads", 2),
        (["--mem", "8000"], "mem", 8.0),
        (["--mem-mb", "8000"], "mem", 8.0),
        (["--mem_mb", "8000"], "mem", 8.0),
        (["--mem", "8G"], "mem", 8.0),
        (["--mem", "1.5TB"], "mem", 1500.0),
        (["--dicom", "d"], "dicom", Path("d")),
        (["--dicom-templates", "t"], "dicom_templates", Path("t")),
        (["--use-plugin", "p.yml"], "use_plugin", Path("p.yml")),
        (["--random-seed", "7"], "random_seed", 7),
        (["--bids-database-dir", "/db"], "bids_database_dir", Path("/db")),
        (["--b0-threshold", "100"], "b0_threshold", 100.0),
        (["--b1-units", "percent"], "b1_units", "percent"),
        (["--relaxivity", "4.5"], "relaxivity", 4.5),
        (["--hematocrit", "0.42"], "hematocrit", 0.42),
        (["--t10", "1.4"], "t10", 1.4),
        (["--aif", "parker"], "aif", "parker"),
        (["--baseline-volumes", "5"], "baseline_volumes", 5),
        (["-v"], "verbose", 1),
        (["-vv"], "verbose", 2),
    ],
)
def test_option_with_value(tokens: list[str], name: str, value: object) -> None:
    assert getattr(parse([*BASE, *tokens]), name) == value


@pytest.mark.parametrize(
    "flag",
    [
        "--clean-workdir",
        "--dicom-parametric-maps",
        "--dry-run",
        "--sloppy",
        "--reports-only",
        "--boilerplate-only",
        "--write-graph",
        "--stop-on-first-crash",
        "--skip-bids-validation",
        "--resource-monitor",
        "--notrack",
        "--debug",
    ],
)
def test_switch(flag: str) -> None:
    name = flag.removeprefix("--").replace("-", "_")
    assert getattr(parse(BASE), name) is False
    assert getattr(parse([*BASE, flag]), name) is True


def test_several_levels_at_once() -> None:
    assert parse(["/data", "/out", "participant", "group"]).analysis_level == ["participant", "group"]


def test_aif_table_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aif.tsv").write_text("time\tplasma\n")
    monkeypatch.chdir(tmp_path)
    assert parse([*BASE, "--aif", "aif.tsv"]).aif == str(tmp_path / "aif.tsv")


@pytest.mark.parametrize(
    ("tokens", "fragment"),
    [
        (["--participant-label", "../etc"], "not a label"),
        (["--participant-label", "sub-A-B"], "not a label"),
        (["--participant-label", "å"], "not a label"),
        (["--models", "noddy"], "invalid choice"),
        (["--methods", "svm"], "invalid choice"),
        (["--bounds", "t1"], "not NAME=LOW,HIGH"),
        (["--bounds", "t1=1"], "not NAME=LOW,HIGH"),
        (["--bounds", "t1=1,2,3"], "not NAME=LOW,HIGH"),
        (["--bounds", "t1=3,1"], "the lower one first"),
        (["--bounds", "t1=0.1,inf"], "two finite numbers"),
        (["-d", "/just/a/path"], "not NAME=PATH"),
        (["-d", "masks="], "not NAME=PATH"),
        (["--nprocs", "0"], "whole number above 0"),
        (["--nprocs", "2.5"], "whole number above 0"),
        (["--mem", "8 lots"], "not a size"),
        (["--mem", "0G"], "above 0"),
        (["--random-seed", "4294967296"], r"below 2\^32"),
        (["--t10", "nan"], "in seconds"),
        (["--t10", "1400"], "in seconds"),
        (["--hematocrit", "42"], "fraction"),
        (["--b0-threshold", "-1"], "0 or above"),
        (["--aif", "parka"], "neither one of parker"),
        (["--no-such-flag"], "unrecognized"),
        (["--participant", "01"], "unrecognized"),
    ],
)
def test_impossible_value_is_named(tokens: list[str], fragment: str) -> None:
    with pytest.raises(UsageError, match=fragment):
        parse([*BASE, *tokens])


def test_unknown_level() -> None:
    with pytest.raises(UsageError, match="invalid choice: 'dataset'"):
        parse(["/data", "/out", "dataset"])


def test_choices_are_what_the_package_knows() -> None:
    from bids_qmri.physics import arterial_input as aif

    assert set(POPULATION_INPUTS) == set(aif.POPULATION_INPUTS)


def test_every_estimator_can_be_asked_for_and_every_word_asks_for_one() -> None:
    for _, entry in catalogue.entries():
        assert catalogue.labels_for(entry.name, WORDS) == list(entry.estimators)
    for word in WORDS:
        assert any(catalogue.labels_for(model, [word]) for model in MODELS)


def test_config_file_sets_what_the_command_line_does_not(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('models = ["vfa", "ivim"]\nnprocs = 3\nsloppy = true\nt10 = 1.4\nverbose = 1\n')
    args = parse([*BASE, "--config-file", str(file), "--nprocs", "2"])
    assert (args.models, args.nprocs, args.sloppy, args.t10) == (["vfa", "ivim"], 2, True, 1.4)
    assert args.verbose == 1


def test_command_line_wins_even_with_a_default(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('methods = ["bayes"]\n')
    assert parse([*BASE, "--config-file", str(file), "--methods", "lsq"]).estimators == ["lsq"]


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ('models = ["noddy"]\n', "invalid choice"),
        ("no_such_option = 1\n", "unrecognized"),
        ("models = [\n", "cannot be read"),
        ("nprocs = 0\n", "whole number"),
        ("sloppy = 3\n", "ignored explicit argument"),
    ],
)
def test_faulty_config_file_is_named(tmp_path: Path, content: str, fragment: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(content)
    with pytest.raises(UsageError, match=f"run.toml.*{fragment}"):
        parse([*BASE, "--config-file", str(file)])


def test_absent_config_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"/nowhere\.toml.*cannot be read"):
        parse([*BASE, "--config-file", "/nowhere.toml"])
