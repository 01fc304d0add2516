"""The plan fits what was asked for and can be, says why the rest is not, and names its maps apart."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import networks
import pytest
import synth
import synth_contrasts
from runs import fits_of, run_config

from bids_qmri.bids.names import derivative_path
from bids_qmri.errors import UsageError
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.plan import Plan, describe, make_plan
from bids_qmri.workflows.selection import select_participants

WORDS = ("lsq", "mle", "bayes", "dipy")


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "bids")


def config(bids: Path, **choices: Any) -> RunConfig:
    least_squares = {"estimators": ("lsq",)}
    return run_config(bids, bids.parent / "out", bids.parent / "work", **(least_squares | choices))


def plan(bids: Path, **choices: Any) -> Plan:
    return make_plan(config(bids, **choices), "01")


def fits(planned: Plan) -> list[tuple[str, str]]:
    return [(fit.model.name, fit.label) for fit in fits_of(planned)]


def break_vfa(bids: Path) -> None:
    synth.add_vfa(bids)
    for sidecar in (bids / "sub-01" / "anat").glob("*.json"):
        synth.edit_json(sidecar, RepetitionTimeExcitation=None)


def test_every_family_gets_its_model_by_least_squares(bids: Path) -> None:
    synth.add_vfa(bids)
    synth.add_ivim(bids)
    synth.add_dce(bids)
    assert sorted(fits(plan(bids))) == [("etofts", "lsq"), ("ivim", "lsq"), ("vfa", "lsq")]


def test_the_plan_does_not_depend_on_the_order_of_words(bids: Path) -> None:
    synth.add_ivim(bids)
    expected = fits(plan(bids, estimators=WORDS))
    assert len(expected) == 5
    for order in permutations(WORDS):
        assert fits(plan(bids, estimators=order)) == expected


def test_more_words_never_take_a_fit_away(bids: Path) -> None:
    synth.add_vfa(bids)
    synth.add_ivim(bids)
    for count in range(1, len(WORDS)):
        fewer, more = (fits(plan(bids, estimators=WORDS[:n])) for n in (count, count + 1))
        assert set(fewer) <= set(more)


def test_no_two_jobs_write_the_same_file(bids: Path) -> None:
    synth.add_vfa(bids)
    synth.add_dce(bids)
    synth.add_tensor(bids, bvals=synth.MULTI_SHELL)
    models = ("vfa", "ivim", "dti", "dki", "tofts", "etofts")
    planned = plan(bids, estimators=WORDS, prefer=("ols", "wls"), models=models)
    names = [
        derivative_path(job.acquisition.entities, extension=".nii.gz", **row.name_parts(job.label))
        for job in fits_of(planned)
        for row in (*job.table.maps, job.table.status)
    ]
    assert {model for model, _ in fits(planned)} >= {"vfa", "dti", "dki", "tofts", "etofts"}
    assert len(set(names)) == len(names)


def test_series_whose_maps_would_overwrite_each_other_are_refused_by_name(bids: Path) -> None:
    synth.add_dce(bids)
    synth.add_dce(bids, suffix="perf")
    planned = plan(bids, values={"t10": 1.0})
    # Only the later one is left out.
    assert [each.acquisition.images[0].name for each in planned.acquisitions] == ["sub-01_dce.nii.gz"]
    (twice,) = planned.unusable
    assert "maps of the same names" in str(twice.error)
    assert "sub-01_dce.nii.gz" in str(twice.error)
    assert "sub-01_perf.nii.gz" in str(twice.error)


@pytest.mark.parametrize(
    ("models", "faults"),
    [((), 1), (("vfa",), 1), (("vfa", "ivim"), 1), (("ivim",), 0), (("dki", "dti"), 0)],
)
def test_faults_of_models_that_nobody_asked_for_are_dropped(
    bids: Path, models: tuple[str, ...], faults: int
) -> None:
    break_vfa(bids)
    synth.add_ivim(bids)
    planned = plan(bids, models=models)
    assert [item.label for item in planned.unusable if item.fault] == ["sub-01_VFA"] * faults


def test_a_fault_of_one_series_leaves_the_fits_of_others(bids: Path) -> None:
    break_vfa(bids)
    synth.add_ivim(bids)
    assert fits(plan(bids)) == [("ivim", "lsq")]


def test_a_series_for_which_no_model_was_made_is_a_remark_and_no_fault(bids: Path) -> None:
    synth.add_tensor(bids, bvals=(1000, 1000, 1000))
    [remark] = plan(bids).unusable
    assert not remark.fault
    assert "a tensor needs 6" in str(remark.error)


def test_estimators_that_a_model_lacks_are_said(bids: Path) -> None:
    synth.add_dce(bids)
    [planned] = plan(bids, estimators=("mle",), models=("etofts",), values={"t10": 1.0}).acquisitions
    assert fits_of(planned) == ()
    assert "mle" in planned.left_out["etofts"]


def test_two_flip_angles_allow_no_estimator_that_must_know_the_noise(bids: Path) -> None:
    synth.add_vfa(bids, flips=(3, 15))
    planned = plan(bids, estimators=("lsq", "mle"))
    assert fits(planned) == [("vfa", "lsq")]
    assert "noise level" in planned.acquisitions[0].left_out["vfa mle"]


def test_choices_of_the_run_reach_every_job(bids: Path) -> None:
    synth.add_vfa(bids)
    synth.add_dce(bids)
    jobs = fits_of(
        plan(bids, random_seed=7, sloppy=True, debug=True, stop_on_first_crash=True, values={"t10": 1.2})
    )
    assert len(jobs) == 2
    for job in jobs:
        assert (job.seed, job.sloppy, job.debug, job.stop_on_error) == (7, True, True, True)
        assert job.options.values["t10"] == 1.2
        assert job.work_dir == bids.parent / "work" / "sub-01"


def test_the_description_names_series_fits_and_reasons(bids: Path) -> None:
    synth.add_vfa(bids)
    synth.add_ivim(bids)
    lines = describe(plan(bids, estimators=("lsq", "mle"))).splitlines()
    assert lines[0] == "sub-01"
    assert "  vfa  sub-01  (sub-01_flip-1_VFA.nii.gz)" in lines
    assert "    vfa: lsq, mle" in lines
    assert "    ivim: lsq, mle" in lines
    assert any(line.startswith("    not dti: ") and "a tensor needs 6" in line for line in lines)


def test_the_description_says_a_reason_once_below_what_is_fitted(bids: Path) -> None:
    synth.add_ivim(bids)
    lines = describe(plan(bids, models=("ivim",))).splitlines()
    assert lines[2] == "    ivim: lsq"
    (others,) = (line for line in lines if line.endswith(": not among --models"))
    assert {"dti", "dki", "noddi"} <= set(others.strip().removeprefix("not ").split(":")[0].split(", "))


def test_models_that_are_never_a_default_are_told_of_only_if_asked_for(bids: Path) -> None:
    synth.add_ivim(bids)
    assert "noddiexvivo" not in describe(plan(bids))
    assert "    not noddiexvivo: " in describe(plan(bids, models=("ivim", "noddiexvivo")))


def test_the_description_tells_faults_from_what_has_no_model(bids: Path) -> None:
    break_vfa(bids)
    synth.add_tensor(bids, bvals=(1000, 1000, 1000))
    text = describe(plan(bids))
    assert "  cannot run  sub-01_VFA\n    " in text
    assert "RepetitionTime" in text
    assert "  nothing to fit  sub-01_dwi" in text


def test_the_description_of_nothing_says_so(bids: Path) -> None:
    (bids / "sub-01" / "anat").mkdir(parents=True)
    assert describe(plan(bids)) == "sub-01\n  nothing that quantitative models know"


def test_participants_keep_the_order_of_the_dataset_without_those_left_out(bids: Path) -> None:
    for label in ("10", "02", "a"):
        synth.add_vfa(bids, f"sub-{label}")
    assert select_participants(config(bids)) == ["02", "10", "a"]
    assert select_participants(config(bids, exclude_participants=("10",))) == ["02", "a"]
    assert set(select_participants(config(bids, participants=("a", "02")))) == {"02", "a"}


def test_participants_to_leave_out_must_be_there_and_not_all(bids: Path) -> None:
    for label in ("01", "02"):
        synth.add_vfa(bids, f"sub-{label}")
    with pytest.raises(UsageError, match="--exclude-participant-label: there is no participant 03"):
        select_participants(config(bids, exclude_participants=("01", "03")))
    with pytest.raises(UsageError, match="leaves nobody"):
        select_participants(config(bids, exclude_participants=("01", "02")))


def test_a_session_that_nobody_has_is_refused(bids: Path) -> None:
    synth.add_vfa(bids, "sub-02")
    with pytest.raises(UsageError, match=r"--session-label: .* pre; needed: a dataset with sessions"):
        select_participants(config(bids, sessions=("pre",)))
    synth.add_vfa(bids, "sub-01_ses-pre")
    with pytest.raises(UsageError, match="there is no session post; needed: one of pre;"):
        select_participants(config(bids, sessions=("pre", "post")))
    assert select_participants(config(bids, participants=("02",), sessions=("pre",))) == ["02"]


@pytest.mark.parametrize(
    ("model", "method", "known"), [("dti", "ncde", "lsq, ols, wls"), ("ivim", "onnx", "lsq, mle")]
)
def test_a_method_that_a_model_lacks_is_answered_with_those_it_has(
    bids: Path, model: str, method: str, known: str
) -> None:
    synth.add_ivim(bids) if model == "ivim" else synth.add_tensor(bids)
    assert f"not {model}: it is not estimated by {method} but by {known}" in describe(
        plan(bids, models=(model,), estimators=(method,))
    )


def test_networks_are_planned_where_they_are_shipped(
    bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.ship(tmp_path, VFA, monkeypatch)
    synth.add_vfa(bids, flips=(3, 7, 12, 20))
    synth.add_ivim(bids)
    expected = [("ivim", "lsq"), ("vfa", "lsq"), ("vfa", "ncde")]
    assert sorted(fits(plan(bids, estimators=()))) == expected
    asked = plan(bids, estimators=("lsq", "ncde"))
    assert sorted(fits(asked)) == expected
    assert [item.label for item in asked.unusable] == ["sub-01 ivim ncde"]
    assert asked.unusable[0].fault


def test_a_network_for_one_model_is_not_used_for_others(bids: Path, tmp_path: Path) -> None:
    file = networks.write_network(tmp_path, VFA, protocol={"flip_angle": [3, 7, 12, 20]})
    synth.add_vfa(bids, flips=(3, 7, 12, 20))
    synth.add_ivim(bids)
    planned = plan(bids, estimators=("mlp",), networks=(file,), bounds={"t1": (0.1, 3.0)}, omp_nthreads=2)
    assert fits(planned) == [("vfa", "mlp")]
    job = fits_of(planned)[0]
    assert (job.estimator.network, job.bounds, job.threads) == (file, {"t1": (0.1, 3.0)}, 2)
    assert "not ivim mlp: no network for it is given: random-vfa.onnx is one for vfa" in describe(planned)


def test_two_flip_angles_leave_networks_without_a_noise_level(
    bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.ship(tmp_path, VFA, monkeypatch)
    synth.add_vfa(bids, flips=(3, 15))
    planned = plan(bids, estimators=())
    assert fits(planned) == [("vfa", "lsq")]
    assert "noise level" in planned.acquisitions[0].left_out["vfa ncde"]


def test_a_lost_weighting_is_named_with_what_is_there(bids: Path) -> None:
    synth_contrasts.add_mt_series(bids)
    for path in (bids / "sub-01" / "anat").glob("*flip-3*"):
        path.unlink()
    (found,) = plan(bids).unusable
    assert "MT off at FlipAngle 6 (4 image(s)), MT on at FlipAngle 6 (4 image(s))" in found.error.seen
    assert "add the images of the other flip angle without an MT pulse" in found.error.fix
    assert "filter" not in found.error.fix


def test_equal_echo_times_are_to_be_mended_not_left_out(bids: Path) -> None:
    synth_contrasts.add_mese(bids)
    for path in (bids / "sub-01" / "anat").glob("*.json"):
        synth.edit_json(path, EchoTime=0.012)
    (found,) = plan(bids).unusable
    assert "one echo time, 0.012 s in 12 image(s)" in found.error.seen
    assert found.error.fix == "write each image's own EchoTime in its sidecar (all have 0.012 s)"


def test_one_echo_is_to_be_added_to(bids: Path) -> None:
    synth_contrasts.add_mese(bids)
    for path in (bids / "sub-01" / "anat").glob("*MESE*"):
        if "echo-1_" not in path.name:
            path.unlink()
    (found,) = plan(bids).unusable
    assert found.error.fix == "add the images of the other echo times, each with its EchoTime"


def test_lost_inversions_and_pulses_are_to_be_added(bids: Path) -> None:
    synth_contrasts.add_irt1(bids)
    synth_contrasts.add_mtr(bids)
    for path in (bids / "sub-01" / "anat").glob("*"):
        if "inv-1_" not in path.name and "mt-off" not in path.name:
            path.unlink()
    fixes = [found.error.fix for found in plan(bids).unusable]
    assert "add the images of other inversion times, or correct InversionTime where two are alike" in fixes
    assert "add the missing image, or correct MTState" in fixes
