"""From arguments to the configuration of a run, to a file, and back."""

from __future__ import annotations

import tomllib
from pathlib import Path

import networks
import pytest

from bids_qmri import catalogue
from bids_qmri.cli.config import make_config, to_toml
from bids_qmri.cli.reading import parse
from bids_qmri.errors import UsageError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def arguments(data: Path, *more: str) -> list[str]:
    out = str(data.parent / "out")
    return [str(data), out, "participant", "-w", str(data.parent / "scratch"), *more]


def test_paths_are_absolute_and_scratch_is_our_own(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    config = make_config(parse(["data", "out", "participant"]))
    assert config.bids_dir == data
    assert config.output_dir == data.parent / "out"
    assert config.work_dir == data.parent / "work" / "bids_qmri"
    assert config.log_dir == data.parent / "out" / "logs"


def test_participant_comes_before_group_and_once(data: Path) -> None:
    config = make_config(parse([str(data), "/out", "group", "participant", "group", "-w", "/scratch"]))
    assert config.levels == ("participant", "group")


def test_two_runs_with_equal_choices_are_equal_but_have_own_names(data: Path) -> None:
    one, two = (make_config(parse(arguments(data))) for _ in range(2))
    assert one == two
    assert one.run_id != two.run_id


def test_processes_default_to_what_is_available(data: Path) -> None:
    assert make_config(parse(arguments(data))).nprocs >= 1


def test_resolved_options_repeat_the_run(data: Path) -> None:
    masks, aif = data.parent / 'ma"sks ü', data.parent / "aif.tsv"
    masks.mkdir()
    aif.touch()
    filters, plugin = data.parent / "f.json", data.parent / "p.yml"
    filters.write_text('{"vfa": {"acquisition": "hires"}}')
    plugin.write_text("plugin: MultiProc\nplugin_args: {n_procs: 2}\n")
    more = ["--participant-label", "01", "--exclude-participant-label", "02", "--session-label", "a"]
    more += ["--models", "vfa", "etofts", "--tensor-fit", "ols", "wls", "--estimators", "lsq", "bayes"]
    network = networks.write_network(data.parent, catalogue.get_model("vfa"), protocol={})
    more += [
        "mlp",
        "--network",
        str(network),
        "--bounds",
        "t1=0.1,5",
        "f=0,0.3",
        "--set",
        "noddi.d_par=0.0015",
    ]
    more += ["-d", f"masks={masks}", "--bids-filter-file", str(filters), "--use-plugin", str(plugin)]
    more += ["--relaxivity", "4.5", "--hematocrit", "0", "--t10", "1e-1", "--aif", str(aif)]
    more += ["--baseline-volumes", "3", "--mem", "1234", "--nprocs", "3", "--omp-nthreads", "2"]
    more += ["--b0-threshold", "0", "--b1-units", "percent", "--random-seed", "5", "--sloppy", "--debug"]
    more += ["--write-graph", "--stop-on-first-crash", "--reports-only", "--dry-run", "--boilerplate-only"]
    args = parse(arguments(data, *more))
    file = data.parent / "run.toml"
    file.write_text(to_toml(args), encoding="utf-8")
    again = parse([str(data), str(data.parent / "out"), "participant", "--config-file", str(file)])
    assert make_config(again) == make_config(args)


def test_resolved_options_name_levels_and_folders(data: Path) -> None:
    content = tomllib.loads(to_toml(parse(arguments(data))))
    assert content["bids_dir"] == str(data)
    assert content["analysis_level"] == ["participant"]
    assert "t10" not in content


@pytest.mark.parametrize(
    ("output", "work", "fragment"),
    [
        ("data", "w", "OUTPUT_DIR: is the dataset itself"),
        ("data/results", "w", "OUTPUT_DIR: lies inside the dataset"),
        ("out", "data/work", "--work-dir: lies inside the dataset"),
        ("out", "data", "--work-dir: lies inside the dataset"),
        ("out", "out/work", "--work-dir: lies inside the results"),
    ],
)
def test_folders_that_would_mix(data: Path, output: str, work: str, fragment: str) -> None:
    root = data.parent
    with pytest.raises(UsageError, match=fragment):
        make_config(parse([str(data), str(root / output), "participant", "-w", str(root / work)]))


def test_aligned_images_are_not_kept_where_none_are(data: Path) -> None:
    words = [str(data), str(data.parent / "out"), "participant", "-w", "/scratch", "--save-aligned"]
    with pytest.raises(UsageError, match="--save-aligned: is given, but no image is aligned"):
        make_config(parse(words))
    assert make_config(parse([*words, "--align", "rigid"])).read.save_aligned


def test_output_below_derivatives_of_the_dataset_is_fine(data: Path) -> None:
    out = data / "derivatives" / "bids_qmri"
    assert make_config(parse([str(data), str(out), "participant", "-w", "/scratch"])).output_dir == out


def test_a_link_to_the_dataset_is_the_dataset(data: Path) -> None:
    link = data.parent / "link"
    link.symlink_to(data)
    with pytest.raises(UsageError, match="is the dataset itself"):
        make_config(parse([str(data), str(link), "participant", "-w", "/scratch"]))


def test_group_level_needs_no_raw_data(data: Path) -> None:
    config = make_config(parse(["/gone", str(data.parent / "out"), "group", "-w", "/scratch"]))
    assert config.levels == ("group",)
    with pytest.raises(UsageError, match="BIDS_DIR: is not a folder"):
        make_config(parse(["/gone", "/out", "participant", "group", "-w", "/scratch"]))


def test_derivative_folder_must_exist(data: Path) -> None:
    with pytest.raises(UsageError, match="--derivatives masks: is not a folder"):
        make_config(parse(arguments(data, "-d", "masks=/nowhere")))


def test_names_that_mean_something_are_not_given_twice(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--derivatives raw: is the name of BIDS_DIR itself"):
        make_config(parse(arguments(data, "-d", f"raw={data}")))
    with pytest.raises(UsageError, match="--derivatives masks: is given for two datasets"):
        make_config(parse(arguments(data, "-d", f"masks={data}", "-d", f"masks={tmp_path}")))


def test_two_datasets_of_one_name_are_both_used_and_the_second_renamed(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = [f"pre={data}", f"pre={tmp_path}", f"pre={data}"]
    found = make_config(parse(arguments(data, "-d", *given))).read.derivatives
    assert found == {"pre": data.resolve(), "pre2": tmp_path.resolve()}
    assert f"{tmp_path} is called pre2" in caplog.text


@pytest.mark.parametrize("content", ["[1]", '{"vfa": 3}', "{,}", "\udcff"])
def test_faulty_filter_file_is_named(data: Path, content: str) -> None:
    file = data.parent / "filters.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"filters\.json: --bids-filter-file"):
        make_config(parse(arguments(data, "--bids-filter-file", str(file))))


def test_plugin_file(data: Path) -> None:
    file = data.parent / "plugin.yml"
    file.write_text("plugin: SLURM\nplugin_args: {template: a}\n")
    config = make_config(parse(arguments(data, "--use-plugin", str(file))))
    assert config.plugin == {"plugin": "SLURM", "plugin_args": {"template": "a"}}


@pytest.mark.parametrize("content", ["[MultiProc]", "plugin_args: {}", "a: [", None])
def test_faulty_plugin_file_is_named(data: Path, content: str | None) -> None:
    file = data.parent / "plugin.yml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=r"plugin\.yml: --use-plugin"):
        make_config(parse(arguments(data, "--use-plugin", str(file))))


@pytest.mark.parametrize(
    ("tokens", "fragment"),
    [
        (["--bounds", "t3=0,1"], "no parameter 't3'.*t1"),
        (["--bounds", "m0=0,1"], "no parameter 'm0'"),
        (["--bounds", "t1=0,5"], "t1 from 0 to 5.*within 0.01 and 10"),
        (["--bounds", "t1=100,5000"], "within 0.01 and 10"),
        (["--bounds", "t0=-1,5"], "within 0 and"),
        (["--estimators", "mlp"], "--estimators mlp: is asked for without a network.*--network FILE"),
        (["--network", "x.onnx"], "--network: is not a file"),
        (["--estimators", "mlp", "--network", "/nowhere.onnx"], "is not a file"),
    ],
)
def test_impossible_limits_and_networks_are_named(data: Path, tokens: list[str], fragment: str) -> None:
    with pytest.raises(UsageError, match=fragment):
        make_config(parse(arguments(data, *tokens)))
