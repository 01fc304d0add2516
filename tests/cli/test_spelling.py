"""What people type: repeated options, underscores, near misses; nothing given is lost without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_qmri.cli.inline import make_parser
from bids_qmri.cli.reading import parse
from bids_qmri.errors import UsageError

BASE = ["/data", "/out", "participant"]
SEVERAL = {
    "--participant-label": ("01", "02"),
    "--exclude-participant-label": ("01", "02"),
    "--session-label": ("a", "b"),
    "--models": ("vfa", "ivim"),
    "--estimators": ("lsq", "bayes"),
    "--network": ("a.onnx", "b.onnx"),
    "--set": ("noddi.d_par=0.001", "noddi.d_iso=0.002"),
    "--bounds": ("t1=0.1,5", "d=0,0.003"),
    "--tensor-fit": ("ols", "wls"),
    "-d": ("masks=/m", "pre=/p"),
}


@pytest.mark.parametrize(("option", "values"), SEVERAL.items())
def test_repeated_options_add_up(option: str, values: tuple[str, str]) -> None:
    first, second = values
    assert parse([*BASE, option, first, option, second]) == parse([*BASE, option, first, second])


def test_an_option_of_one_value_given_twice_is_refused_unless_both_agree() -> None:
    with pytest.raises(UsageError, match=r"--t10: is given twice, as 1\.0 and 2\.0"):
        parse([*BASE, "--t10", "1", "--t10", "2"])
    assert parse([*BASE, "--t10", "1", "--t10", "1"]).t10 == 1


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--participant_label", ["01"]),
        ("--bids_filter_file", ["f.json"]),
        ("--b1_units", ["percent"]),
        ("--mem_mb", ["8000"]),
        ("--n_cpus", ["2"]),
        ("--omp_nthreads", ["2"]),
        ("--skip_bids_validation", []),
        ("--work_dir", ["/w_w"]),
    ],
)
def test_underscores_are_hyphens_in_options_not_in_values(option: str, values: list[str]) -> None:
    assert parse([*BASE, option, *values]) == parse([*BASE, option.replace("_", "-"), *values])
    assert parse([*BASE, "--participant_label=01"]).participant_label == ["01"]
    assert parse([*BASE, "--work_dir=/w_w"]).work_dir == Path("/w_w")


@pytest.mark.parametrize(
    ("tokens", "meant"),
    [
        (["--participant-lable", "01"], "--participant-label"),
        (["--participants_label", "01"], "--participant-label"),
        (["--session", "1"], "--session-label|--session-id"),
        (["--model", "vfa"], "--models"),
        (["--models", "nodi"], "noddi"),
        (["--estimators", "NCDE"], "ncde"),
        (["--mask", "brian"], "brain"),
    ],
)
def test_a_near_miss_names_the_word_that_was_meant(tokens: list[str], meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean ({meant})\\?"):
        parse([*BASE, *tokens])


def test_what_is_near_nothing_gets_no_suggestion() -> None:
    with pytest.raises(UsageError) as error:
        parse([*BASE, "--xyzzy"])
    assert "did you mean" not in str(error.value)
    with pytest.raises(UsageError, match="did you mean --max-memory"):
        make_parser().parse_args(["--max-memry", "1"])


def test_the_command_line_goes_before_a_file_and_does_not_add_to_it(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text('participant_label = ["01", "02"]\nb0_threshold = 30.0\nt10 = 1.2\n')
    told = ["--config-file", str(file)]
    assert parse([*BASE, *told]).participant_label == ["01", "02"]
    args = parse([*BASE, *told, "--participant-label", "03", "--b0-threshold", "50", "--t10", "1.4"])
    assert (args.participant_label, args.b0_threshold, args.t10) == (["03"], 50.0, 1.4)
