"""The command on tiny datasets of known truth: what it writes, what it finds, how it ends."""

import gzip
import json
import re
import sys
from pathlib import Path

import networks
import nibabel as nib
import numpy as np
import pytest

from bids_qmri.cli.run import main
from bids_qmri.errors import InternalError
from bids_qmri.techniques.vfa.model import VFA

sys.path.insert(0, str(Path(__file__).parent))
import synth

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def bids(tmp_path):
    return synth.new_dataset(tmp_path / "bids")


@pytest.fixture
def run(bids, tmp_path, capsys):
    def call(*more, levels=("participant",)):
        arguments = [str(bids), str(tmp_path / "out"), *levels, "-w", str(tmp_path / "work")]
        code = main([*arguments, "--nprocs", "1", *more])
        captured = capsys.readouterr()
        assert captured.out.splitlines()[-1].startswith(f"bids_qmri: exit code {code}:")
        assert "Traceback" not in captured.err
        return code, captured.err

    return call


def image(tmp_path, name):
    return np.asanyarray(nib.load(next((tmp_path / "out").rglob(f"{name}.nii.gz"))).dataobj)


def outputs(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("sub-*") if path.is_file())


@pytest.mark.parametrize("family", ["vfa", "ivim", "tensor", "multishell", "dce"])
def test_outputs_are_those_of_the_golden_list(bids, tmp_path, run, family):
    makers = {
        "vfa": lambda: synth.add_vfa(bids, flips=(3, 7, 12, 20)),
        "ivim": lambda: synth.add_ivim(bids),
        "tensor": lambda: synth.add_tensor(bids),
        "multishell": lambda: synth.add_tensor(bids, bvals=synth.MULTI_SHELL),
        "dce": lambda: (synth.add_vfa(bids), synth.add_dce(bids)),
    }
    makers[family]()
    assert run("--methods", "lsq")[0] == 0
    found = [name for name in outputs(tmp_path / "out") if "figures" not in name]
    assert found == (GOLDEN / f"{family}.txt").read_text().split()


def test_t1_is_recovered_with_the_transmit_field(bids, tmp_path, run):
    truth = synth.add_vfa(bids, b1=synth.ramp(0.8, 1.2))
    assert run()[0] == 0
    np.testing.assert_allclose(image(tmp_path, "sub-01_desc-lsq_T1map"), truth["t1"], rtol=1e-4)
    np.testing.assert_allclose(image(tmp_path, "sub-01_desc-lsq_M0map"), truth["m0"], rtol=1e-4)
    sidecar = json.loads(next((tmp_path / "out").rglob("sub-01_desc-lsq_T1map.json")).read_text())
    assert "sub-01_TB1map.nii.gz: median 100 inside the mask, read as percent (Units)" in sidecar["Notes"]


def test_perfusion_and_diffusion_are_recovered(bids, tmp_path, run):
    truth = synth.add_ivim(bids)
    assert run()[0] == 0
    for name in ("d", "dstar", "f", "s0"):
        found = image(tmp_path, f"sub-01_model-ivim_param-{name}_desc-lsq_dwimap")
        np.testing.assert_allclose(found, truth[name], rtol=1e-4)


def test_tensors_are_recovered(bids, tmp_path, run):
    truth = synth.add_tensor(bids)
    assert run()[0] == 0
    found = image(tmp_path, "sub-01_model-tensor_param-md_desc-wls_dwimap")
    np.testing.assert_allclose(found, truth["md"], rtol=1e-3)


def test_tracer_kinetics_are_recovered_from_signals_and_the_t1_of_the_session(bids, tmp_path, run):
    synth.add_vfa(bids)
    truth = synth.add_dce(bids)
    assert run()[0] == 0
    for name in ("ktrans", "ve", "vp"):
        found = image(tmp_path, f"sub-01_model-etofts_param-{name}_desc-lsq_dcemap")
        np.testing.assert_allclose(found, truth[name], rtol=0.01)


def test_a_given_native_t1_is_used_and_recorded(bids, tmp_path, run):
    synth.add_dce(bids)
    assert run("--t10", "1.2")[0] == 0
    sidecar = next((tmp_path / "out").rglob("*param-ktrans_desc-lsq_dcemap.json"))
    assert json.loads(sidecar.read_text())["NativeT1"] == 1.2


def test_a_given_mask_limits_the_maps_and_is_named_in_the_sidecar(bids, tmp_path, run):
    synth.add_vfa(bids)
    mask = np.zeros(synth.SHAPE)
    mask[1:3, 1, :] = 1
    synth.add_mask(tmp_path / "masks", "sub-01_desc-lesion", mask)
    assert run("-d", f"masks={tmp_path / 'masks'}")[0] == 0
    status = image(tmp_path, "sub-01_model-spgr_desc-lsqStatus_vfamap")
    np.testing.assert_array_equal(status > 0, mask > 0)
    assert np.all(image(tmp_path, "sub-01_desc-lsq_T1map")[mask == 0] == 0)
    sidecar = json.loads(next((tmp_path / "out").rglob("sub-01_desc-lsq_T1map.json")).read_text())
    assert "sub-01_desc-lesion_mask.nii.gz" in sidecar["Mask"]


@pytest.mark.parametrize(("desc", "stripped"), [(None, False), ("lesion", False), ("brain", True)])
def test_skull_stripped_is_stated_of_maps_inside_a_brain_mask_only(bids, tmp_path, run, desc, stripped):
    synth.add_vfa(bids)
    synth.new_dataset(tmp_path / "masks", "derivative")
    if desc is not None:
        synth.add_mask(tmp_path / "masks", f"sub-01_desc-{desc}", np.ones(synth.SHAPE))
    assert run("-d", f"masks={tmp_path / 'masks'}")[0] == 0
    sidecars = list((tmp_path / "out").rglob("*map.json"))
    assert sidecars
    assert {json.loads(path.read_text())["SkullStripped"] for path in sidecars} == {stripped}


def test_units_of_every_sidecar_are_those_of_bids(bids, tmp_path, run):
    synth.add_vfa(bids)
    synth.add_dce(bids)
    assert run("--methods", "lsq", "mle")[0] == 0
    expected = {"T1map": "s", "M0map": "arbitrary", "ktrans": "1/min", "ve": "1", "t0": "s"}
    for key, units in expected.items():
        others = ("rmse", "Determined")
        found = [path for path in (tmp_path / "out").rglob("*.json") if key in path.name]
        sidecars = [path for path in found if not any(other in path.name for other in others)]
        assert sidecars
        assert {json.loads(path.read_text())["Units"] for path in sidecars} == {units}


def test_one_damaged_participant_leaves_the_others_alone(bids, tmp_path, run):
    synth.add_vfa(bids, "sub-01")
    synth.add_vfa(bids, "sub-02")
    victim = bids / "sub-01" / "anat" / "sub-01_flip-2_VFA.nii.gz"
    victim.write_bytes(victim.read_bytes()[:-40])
    code, text = run()
    assert code == 1
    assert "sub-01_flip-2_VFA.nii.gz" in text
    assert not list((tmp_path / "out" / "sub-01").rglob("*T1map.nii.gz"))
    assert list((tmp_path / "out" / "sub-02").rglob("*T1map.nii.gz"))
    assert "sub-01_flip-2_VFA.nii.gz" in (tmp_path / "out" / "sub-01.html").read_text()


def test_the_first_failure_stops_the_run_on_request(bids, tmp_path, run):
    for participant in ("sub-01", "sub-02"):
        synth.add_vfa(bids, participant)
    victim = bids / "sub-01" / "anat" / "sub-01_flip-2_VFA.nii.gz"
    victim.write_bytes(victim.read_bytes()[:-40])
    code, text = run("--stop-on-first-crash")
    assert code == 1
    assert "sub-02 vfa lsq: not run" in text


def test_the_graph_is_written_on_request(bids, tmp_path, run):
    synth.add_vfa(bids)
    assert run("--write-graph")[0] == 0
    assert "sub_01_vfa" in next((tmp_path / "out" / "logs").glob("graph*.dot")).read_text()


def test_a_bit_flip_inside_a_stream_is_found(bids, run):
    synth.add_vfa(bids)
    victim = bids / "sub-01" / "anat" / "sub-01_flip-1_VFA.nii.gz"
    raw = bytearray(gzip.compress(gzip.decompress(victim.read_bytes()), compresslevel=0))
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(raw)
    code, text = run()
    assert code == 1
    assert "sub-01_flip-1_VFA.nii.gz" in text


def test_a_repetition_time_in_milliseconds_is_refused_by_name(bids, run):
    synth.add_vfa(bids)
    for index in (1, 2, 3):
        synth.edit_json(
            bids / "sub-01" / "anat" / f"sub-01_flip-{index}_VFA.json", RepetitionTimeExcitation=15
        )
    code, text = run()
    assert code == 1
    assert "RepetitionTimeExcitation" in text
    assert "sub-01_flip-1_VFA" in text


def test_nobody_with_anything_to_fit_ends_with_65(bids, run):
    synth.write_image(synth.place(bids, "anat", "sub-01_T1w.nii.gz"), np.ones(synth.SHAPE))
    assert run()[0] == 65


def test_an_unknown_participant_ends_with_2_and_names_those_there_are(bids, run):
    synth.add_vfa(bids)
    code, text = run("--participant-label", "sub-99")
    assert code == 2
    assert "01" in text


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), InternalError("lost")])
def test_an_error_of_our_own_ends_with_its_participant_and_leaves_a_crash_file(
    bids, tmp_path, run, monkeypatch, error
):
    def broken(*_):
        raise error

    synth.add_vfa(bids)
    monkeypatch.setattr("bids_qmri.interfaces.scan.prepare", broken)
    code, text = run()
    assert code == 1
    assert type(error).__name__ in text
    assert type(error).__name__ in next((tmp_path / "out").rglob("crash-*.txt")).read_text()


def test_group_needs_no_raw_data(bids, tmp_path, run):
    synth.add_vfa(bids)
    assert run()[0] == 0
    assert main([str(tmp_path / "gone"), str(tmp_path / "out"), "group", "-w", str(tmp_path / "work")]) == 0
    assert (tmp_path / "out" / "group_vfa.tsv").is_file()


def test_estimators_are_compared_and_participants_are_kept_for_the_group(bids, tmp_path, run):
    synth.add_vfa(bids, flips=(3, 7, 12, 20))
    (bids / "participants.tsv").write_text("participant_id\tsite\nsub-01\tA\nsub-02\tB\n")
    assert run("--methods", "lsq", "bayes", levels=("participant", "group"))[0] == 0
    assert (tmp_path / "out" / "participants.tsv").read_text() == "participant_id\tsite\nsub-01\tA\n"
    header, *lines = (tmp_path / "out" / "group_vfa.tsv").read_text().splitlines()
    rows = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert {row["estimator"]: row["t1_bias_lsq"] == "n/a" for row in rows} == {"bayes": False, "lsq": True}


def test_the_methods_text_can_be_had_alone(bids, tmp_path, run):
    synth.add_vfa(bids)
    assert run("--boilerplate-only", "--methods", "lsq", "mle")[0] == 0
    text = (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    assert "flip angle" in text
    assert "Rician" in text
    assert not list((tmp_path / "out").rglob("*map.nii.gz"))


def test_pages_are_written_anew_without_fitting(bids, tmp_path, run):
    synth.add_vfa(bids)
    assert run()[0] == 0
    t1 = next((tmp_path / "out").rglob("sub-01_desc-lsq_T1map.nii.gz"))
    page, before = tmp_path / "out" / "sub-01.html", t1.stat().st_mtime_ns
    parts = re.compile(r'(?: id| alt|src)="[^"]*"|<td[^>]*>[^<]*')
    first = parts.findall(page.read_text())
    page.unlink()
    assert run("--reports-only")[0] == 0
    assert parts.findall(page.read_text()) == first
    assert sum("T1 by lsq" in part for part in first) > 1
    assert t1.stat().st_mtime_ns == before


def test_a_dry_run_writes_nothing(bids, tmp_path, run):
    synth.add_vfa(bids)
    assert run("--dry-run")[0] == 0
    assert not (tmp_path / "out").exists()


def test_the_same_run_twice_writes_the_same_maps(bids, tmp_path, run):
    synth.add_vfa(bids)
    contents = []
    for _ in range(2):
        assert run()[0] == 0
        maps = sorted((tmp_path / "out").rglob("*map.nii.gz"))
        contents.append([path.read_bytes() for path in maps])
    assert contents[0] == contents[1]


def test_a_failed_rerun_no_longer_vouches_for_the_maps_of_the_first(bids, tmp_path, run):
    synth.add_vfa(bids)
    assert run()[0] == 0
    victim = bids / "sub-01" / "anat" / "sub-01_flip-2_VFA.nii.gz"
    victim.write_bytes(victim.read_bytes()[:-40])
    assert run()[0] == 1
    assert not list((tmp_path / "out").rglob("*_qc.json"))
    assert run("--reports-only")[0] == 65


def test_error_bars_of_an_earlier_run_do_not_outlive_it(bids, tmp_path, run):
    synth.add_vfa(bids, flips=(3, 10, 20))
    assert run()[0] == 0
    for path in (bids / "sub-01" / "anat").glob("*flip-2*"):
        path.unlink()
    assert run()[0] == 0
    assert list((tmp_path / "out").rglob("*desc-lsq_T1map.nii.gz"))
    assert not list((tmp_path / "out").rglob("*desc-lsqStd_T1map.nii.gz"))


def test_of_two_images_of_one_name_one_is_fitted_with_a_word(bids, tmp_path, run):
    synth.add_tensor(bids, "sub-01")
    synth.add_tensor(bids, "sub-02")
    image = bids / "sub-01" / "dwi" / "sub-01_dwi.nii.gz"
    (image.parent / "sub-01_dwi.nii").write_bytes(gzip.decompress(image.read_bytes()))
    code, text = run()
    assert code == 0
    assert "sub-01_dwi.nii.gz and sub-01_dwi.nii are both there; sub-01_dwi.nii.gz is used" in text
    for participant in ("sub-01", "sub-02"):
        assert list((tmp_path / "out" / participant).rglob("*map.nii.gz"))


def test_the_work_directory_is_left_empty(bids, tmp_path, run):
    synth.add_vfa(bids)
    assert run()[0] == 0
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []


def sidecar_of(tmp_path, name):
    return json.loads(next((tmp_path / "out").rglob(f"{name}.json")).read_text())


def test_a_network_that_is_shipped_runs_by_default_and_is_named_in_the_sidecar(
    bids, tmp_path, run, monkeypatch
):
    networks.ship(tmp_path, VFA, monkeypatch, scale=0.0)
    synth.add_vfa(bids, flips=(3, 7, 12, 20), b1=synth.ramp(0.8, 1.2))
    assert run()[0] == 0
    lsq, ncde = (image(tmp_path, f"sub-01_desc-{label}_T1map") for label in ("lsq", "ncde"))
    np.testing.assert_allclose(ncde, lsq, rtol=0.02)
    fields = sidecar_of(tmp_path, "sub-01_desc-ncde_T1map")
    assert fields["Network"]["File"] == "ncde-vfa.onnx"
    assert len(fields["Network"]["SHA256"]) == 64
    assert fields["Bounds"] == {"t1": [0.05, 5.0]}
    assert "Kuppens" in (tmp_path / "out" / "logs" / "CITATION.md").read_text()


def test_a_protocol_outside_the_training_is_warned_about(bids, tmp_path, run, monkeypatch):
    coverage = networks.COVERAGE["vfa"] | {"repetition_time": [0.02, 0.05]}
    networks.ship(tmp_path, VFA, monkeypatch, coverage=coverage)
    synth.add_vfa(bids, flips=(3, 7, 12, 20))
    code, text = run("--methods", "ncde")
    assert code == 0
    words = "outside what the network ncde-vfa was trained for: repetition times"
    assert text.count(words) == 1
    assert np.all(image(tmp_path, "sub-01_model-spgr_desc-ncdeStatus_vfamap") % 5 == 0)
    assert words in " ".join(sidecar_of(tmp_path, "sub-01_desc-ncde_T1map")["Notes"])
    assert words in (tmp_path / "out" / "sub-01.html").read_text()


def test_asking_for_a_network_that_is_not_shipped_is_an_error(bids, tmp_path, run, monkeypatch):
    monkeypatch.setattr("bids_qmri.estimators.networks.network_file.weights_folder", lambda: tmp_path)
    synth.add_vfa(bids)
    code, text = run("--methods", "lsq", "ncde")
    assert code == 1
    assert "no network for vfa" in text
    assert list((tmp_path / "out").rglob("sub-01_desc-lsq_T1map.nii.gz"))


def test_a_network_for_another_protocol_is_refused_by_name(bids, tmp_path, run):
    trained = {"flip_angle": [2, 10, 20], "repetition_time": [0.005] * 3}
    file = networks.write_network(tmp_path, VFA, protocol=trained)
    synth.add_vfa(bids, flips=(3, 7, 12, 20))
    code, text = run("--methods", "mlp", "--network", str(file))
    assert code == 1
    assert "protocol of the network random-vfa" in text
    assert "flip_angle of the scan is 3, 7, 12, 20" in text


def test_limits_are_kept_and_recorded(bids, tmp_path, run):
    truth = synth.add_vfa(bids, flips=(3, 7, 12, 20))
    low, high = np.quantile(truth["t1"], [0.2, 0.8])
    assert run("--methods", "lsq", "mle", "--bounds", f"t1={low},{high}")[0] == 0
    for label in ("lsq", "mle"):
        t1 = image(tmp_path, f"sub-01_desc-{label}_T1map")
        assert np.float32(low) <= t1[t1 > 0].min()
        assert t1.max() <= np.float32(high)
        assert sidecar_of(tmp_path, f"sub-01_desc-{label}_T1map")["Bounds"] == {"t1": [low, high]}


def test_an_empty_frame_is_refused_instead_of_fitted(bids, run):
    synth.add_vfa(bids)
    synth.add_dce(bids)
    path = bids / "sub-01" / "perf" / "sub-01_dce.nii.gz"
    series = nib.load(path).get_fdata()
    series[..., 10] = 0
    synth.write_image(path, series)
    code, text = run("--methods", "lsq")
    assert code == 1
    assert "frame 11" in text
    assert "sub-01_dce.nii.gz" in text


def test_what_is_assumed_is_said_while_running(bids, run):
    synth.add_vfa(bids)
    assert "no B1+ map" in run("--methods", "lsq")[1]


def test_a_method_that_no_model_here_has_is_named(bids, run):
    synth.add_tensor(bids)
    code, text = run("--methods", "mle")
    assert code == 65
    assert "mle" in text
