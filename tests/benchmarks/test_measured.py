"""The benchmark on measured data and ``bids_qmri-evaluate`` give the same figures on the same voxels."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bids_qmri.cli.evaluate import main

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize(
    ("name", "model", "region", "voxels"),
    [("vfadce", "vfa", "mask", 60), ("ivim1", "ivim", "all regions", 40)],
)
def test_the_command_gives_the_figures_of_the_benchmark(
    shared_data: Path, tmp_path: Path, name: str, model: str, region: str, voxels: int
) -> None:
    from kuppens import real
    from kuppens.cells import SEED, TABLE1

    data = shared_data / "bids-real"
    rois = data / "derivatives" / "rois"
    expected = {
        (c.row, c.length, c.subset.partition(" ")[2] or c.subset, c.quantity, c.reference): c
        for c in real.pooled(real.compare(real.Scan(f"sub-{name}", model, data, voxels), None))
        if c.box == "Table 1" and c.row != "constant"
    }
    limits = [f"{key}={low},{high}" for key, (low, high) in TABLE1[model].items()]
    subsets = [",".join(f"{value:g}" for value in one) for one in real.SUBSETS.get(model, ())]
    command = ["--bids", str(data), "-d", f"rois={rois}", f"masks={rois}", "--participant-label", name]
    command += ["--models", model, "--estimators", *real.ESTIMATORS, "--prior", "box", "--bounds", *limits]
    command += ["--random-seed", str(SEED), "--voxels", str(voxels), "--output", str(tmp_path)]
    assert main([*command, *(["--subset", *subsets] if subsets else [])]) == 0
    with (tmp_path / f"evaluation_{model}.tsv").open(encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file, delimiter="\t") if line["region"] == region]
    assert len(lines) == len(expected) > 0
    for line in lines:
        key = (
            line["estimator"],
            int(line["measurements"]),
            line["subset"],
            line["quantity"],
            line["reference"],
        )
        found = expected[key]
        numbers = [float(line[column]) for column in ("mse", "bias", "variance", "ratio", "se")]
        told = [found.mse, found.bias, found.variance, found.ratio.value, found.ratio.se]
        assert numbers == pytest.approx(told, rel=1e-9, abs=1e-300)
        assert int(line["voxels"]) == found.voxels
