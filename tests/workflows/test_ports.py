"""Workflows for other pipelines: one technique behind another pipeline's node gives the maps of the app."""

from __future__ import annotations

import json
import pickle
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import synth
import synth_contrasts
from nipype import Function, IdentityInterface, Node, Workflow, config
from runs import planned_fits, run_config, run_fit

from bids_qmri import catalogue, workflows
from bids_qmri.bids.names import derivative_path
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.determined import box_sd
from bids_qmri.estimators.networks.network_file import shipped_network
from bids_qmri.interfaces import ports
from bids_qmri.interfaces.files import port_rows, ports_of

FLIPS = (3.0, 10.0, 20.0)
VALUES = {"dce": {"t10": 1.2}}
"""What the person says on the command line, or at the port."""


def corrected(in_file: str) -> str:
    """Stand for a step of another pipeline: write the image again, under a name that is not one of BIDS."""
    from pathlib import Path

    import nibabel

    out = Path.cwd() / f"corrected-{Path(in_file).name}"
    nibabel.save(nibabel.load(in_file), out)
    return str(out)


def vfa(root: Path) -> dict[str, Any]:
    synth.add_vfa(root, flips=FLIPS, tr=0.015, b1=synth.ramp(0.8, 1.1))
    return {
        "in_files": sorted(str(p) for p in (root / "sub-01/anat").glob("*_VFA.nii.gz")),
        "flip_angles": list(FLIPS),
        "repetition_time": 0.015,
        "b1_map": str(root / "sub-01/fmap/sub-01_TB1map.nii.gz"),
        "b1_units": "percent",
    }


def dwi(root: Path, add: Callable[[Path], Any]) -> dict[str, Any]:
    add(root)
    stem = str(root / "sub-01/dwi/sub-01_dwi")
    return {"in_files": [f"{stem}.nii.gz"], "in_bval": f"{stem}.bval", "in_bvec": f"{stem}.bvec"}


def dce(root: Path) -> dict[str, Any]:
    truth = synth.add_dce(root)
    return {
        "in_files": [str(root / "sub-01/perf/sub-01_dce.nii.gz")],
        "frame_times": truth["time"].tolist(),
        "flip_angle": 15.0,
        "repetition_time": 0.005,
        "relaxivity": 4.5,
        "baseline_volumes": 5,
        **VALUES["dce"],
        "aif_file": str(root / "sub-01/perf/sub-01_aif.tsv"),
    }


def of_anat(root: Path, pattern: str, **ports: Any) -> dict[str, Any]:
    """Return the ports of images of `anat` in the order of their names."""
    return {"in_files": sorted(str(p) for p in (root / "sub-01/anat").glob(f"{pattern}.nii.gz")), **ports}


def irt1(root: Path) -> dict[str, Any]:
    times = [0.05, 0.3, 0.6, 1.0, 1.6, 2.5]
    synth_contrasts.add_irt1(root, times)
    return of_anat(root, "*_IRT1", inversion_times=times)


def megre(root: Path) -> dict[str, Any]:
    synth_contrasts.add_megre(root)
    return of_anat(root, "*_MEGRE", echo_times=[0.003 * i for i in range(1, 9)])


def mese(root: Path) -> dict[str, Any]:
    times = [0.012 * i for i in range(1, 10)]
    synth_contrasts.add_echoes(root, "MESE", synth_contrasts.body(0.03, 0.15), times)
    return of_anat(root, "*_MESE", echo_times=times, refocusing_angle=180.0)


def mpm(root: Path) -> dict[str, Any]:
    echoes = [0.0023, 0.0046, 0.0069]
    synth_contrasts.add_mt_series(root, echoes=echoes)
    flips, mt = [6.0, 6.0, 21.0], [1.0, 0.0, 0.0]
    files = [
        str(root / f"sub-01/anat/sub-01_echo-{e}_flip-{f}_mt-{'on' if on else 'off'}_MPM.nii.gz")
        # In the order in which the reader puts them: MT pulse, flip angle, echo.
        for f, on in ((2, 0), (3, 0), (1, 1))
        for e in (1, 2, 3)
    ]
    order = (1, 2, 0)
    return {
        "in_files": files,
        "flip_angles": [flips[i] for i in order for _ in echoes],
        "repetition_times": [0.025] * 9,
        "echo_times": echoes * 3,
        "mt": [mt[i] for i in order for _ in echoes],
    }


def mp2rage(root: Path) -> dict[str, Any]:
    t1 = synth_contrasts.body(0.6, 3.0)
    synth_contrasts.add_uniform(root, t1)
    return of_anat(
        root,
        "*_UNIT1",
        inversion_times=[0.8, 2.7],
        flip_angles=[4.0, 5.0],
        repetition_time=0.007,
        cycle_time=6.0,
        shots=[80.0, 80.0],
    )


def mtr(root: Path) -> dict[str, Any]:
    synth_contrasts.add_mtr(root)
    return of_anat(root, "*_MTR", mt=[0.0, 1.0])


def tb1(root: Path) -> dict[str, Any]:
    field = synth_contrasts.body(0.8, 1.2)
    images = {
        f"sub-01_flip-{flip}_TB1DAM": (1000 * np.sin(np.deg2rad(angle) * field), {"FlipAngle": angle})
        for flip, angle in ((1, 60), (2, 120))
    }
    synth_contrasts.add_series(root, "fmap", images)
    files = [str(root / f"sub-01/fmap/{name}.nii.gz") for name in images]
    return {"in_files": files, "flip_angles": [60.0, 120.0]}


def adc(root: Path) -> dict[str, Any]:
    ports = dwi(root, lambda folder: synth.add_tensor(folder, bvals=(0, 0, 500, 500, 1000, 1000)))
    (root / "sub-01/dwi/sub-01_dwi.bvec").unlink()
    del ports["in_bvec"]
    return ports


def fieldmap(root: Path) -> dict[str, Any]:
    times = [0.003 * i for i in range(1, 5)]
    synth_contrasts.add_phases(root, times)
    anat = root / "sub-01" / "anat"
    files = [sorted(anat.glob(f"*_part-{part}_MEGRE.nii.gz")) for part in ("mag", "phase")]
    return {"in_files": [str(path) for part in files for path in part], "echo_times": times}


SERIES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "vfa": vfa,
    "ivim": lambda root: dwi(root, synth.add_ivim),
    "dti": lambda root: dwi(root, synth.add_tensor),
    "noddi": lambda root: dwi(root, synth.add_noddi),
    "dce": dce,
    "irt1": irt1,
    "mese": mese,
    "megre": megre,
    "mpm": mpm,
    "mp2rage": mp2rage,
    "mtr": mtr,
    "tb1": tb1,
    "adc": adc,
    "fieldmap": fieldmap,
}
ESTIMATOR = {"dti": "wls", "mp2rage": "lookup", "tb1": "ratio", "fieldmap": "phase"}
UNTOLD = {"mp2rage": ("t1_sd", "t1_determined")}
"""Maps that a combined image alone cannot give: nothing tells its noise."""


def test_every_technique_is_here() -> None:
    assert set(SERIES) == {technique.name for technique in catalogue.TECHNIQUES}


def pipeline(folder: Path, name: str, given: dict[str, Any], **choices: Any) -> Workflow:
    """Return a pipeline of somebody else, whose corrected images a workflow of ours fits."""
    source = Node(IdentityInterface(fields=list(given)), name="source")
    source.inputs.trait_set(**given)
    step = Node(Function(["in_file"], ["out_file"], corrected), name="step", iterfield=["in_file"])
    ours = getattr(workflows, f"init_{name}_wf")(name="ours", **choices)
    maps = ours.get_node("outputnode").outputs.copyable_trait_names()
    sink = Node(IdentityInterface(fields=maps), name="sink")
    whole = Workflow(name="pipeline", base_dir=str(folder))
    if len(given["in_files"]) == 1:
        step.inputs.in_file = given["in_files"][0]
        whole.connect(step, "out_file", ours, "inputnode.in_files")
    else:
        whole.connect(source, "in_files", ours, "inputnode.in_files")
    others = [(field, f"inputnode.{field}") for field in given if field != "in_files"]
    results = [(f"outputnode.{field}", field) for field in maps]
    whole.connect([(source, ours, others), (ours, sink, results)])
    return whole


def configuration() -> dict[str, dict[str, str]]:
    """Return all that nipype is configured with."""
    return {section: dict(config._config.items(section)) for section in config._config.sections()}


def outputs(workflow: Workflow, plugin: str = "Linear") -> dict[str, Path]:
    graph = workflow.run(plugin=plugin, plugin_args={"n_procs": 1})
    [fit] = [node for node in graph.nodes() if node.name == "fit"]
    found = fit.result.outputs.get() if fit.result else {}
    return {name: Path(value) for name, value in found.items() if isinstance(value, str)}


def values(file: Path) -> np.ndarray:
    return np.asarray(nib.load(file).dataobj)


@pytest.mark.parametrize("name", SERIES)
def test_a_technique_behind_a_node_of_another_pipeline(tmp_path: Path, name: str) -> None:
    bids = synth.new_dataset(tmp_path / "bids")
    given, estimator = SERIES[name](bids), ESTIMATOR.get(name, "lsq")
    before = configuration()
    found = outputs(pipeline(tmp_path / "work", name, given, estimator=estimator))
    assert configuration() == before, "the configuration of nipype belongs to the pipeline"
    model = next(t for t in catalogue.TECHNIQUES if t.name == name).models[0].name
    about = json.loads(found["metadata"].read_text())
    assert about["fit"]["Estimator"] == estimator
    choices = {"models": (model,), "estimators": (estimator,), "values": VALUES.get(name, {})}
    [job] = planned_fits(run_config(bids, tmp_path / "out", tmp_path / "app", **choices))
    assert run_fit(job).error == ""
    rows = port_rows(model)
    wanted = [p for main in catalogue.get_model(model).main for p in (main, f"{main}_sd")]
    for port in [*wanted, *(f"{name}_determined" for name in box_sd(catalogue.get_model(model)))]:
        file = derivative_path({"sub": "01"}, extension=".nii.gz", **rows[port].name_parts(estimator))
        if port in UNTOLD.get(name, ()):
            assert port not in found
            assert not (tmp_path / "out" / file).exists()
            continue
        np.testing.assert_array_equal(values(found[port]), values(tmp_path / "out" / file), err_msg=port)
        assert about[port]["Units"] == rows[port].unit
    status = values(found["status"])
    assert np.mean(status[status != Status.OUTSIDE] == Status.OK) > 0.5


def test_models_of_one_folder_share_a_workflow() -> None:
    assert workflows.init_mpm_wf().name == "fit_mpm_wf"
    assert workflows.init_mpm_wf(model="mts").name == "fit_mts_wf"


def test_a_workflow_runs_in_processes_of_its_own(tmp_path: Path) -> None:
    given = SERIES["ivim"](synth.new_dataset(tmp_path / "bids"))
    one = outputs(pipeline(tmp_path / "one", "ivim", given))
    many = outputs(pipeline(tmp_path / "many", "ivim", given), plugin="MultiProc")
    for name in ("d", "d_sd", "status"):
        np.testing.assert_array_equal(values(one[name]), values(many[name]))


@pytest.mark.parametrize("model", catalogue.model_names())
def test_interfaces_survive_the_trip_to_a_worker(model: str) -> None:
    interface = ports.fit_interface(model)(estimator="lsq")
    again = pickle.loads(pickle.dumps(interface))
    assert type(again) is getattr(ports, f"Fit{model.capitalize()}")
    assert {port.name for port in ports_of(model)} <= set(again.inputs.copyable_trait_names())


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"estimator": "lsqq"}, r"estimator: is 'lsqq'; needed: one of lsq, mle"),
        ({"bounds": {"dd": (0.0, 1.0)}}, r"bounds: there is no parameter 'dd'; needed: some of d, dstar, f"),
        ({"bounds": {"d": (0.003, 0.001)}}, r"bounds: d from 0.003 to 0.001; needed: two numbers within"),
        (
            {"in_files": ["t1.nii.gz"]},
            r"bval: holds 10 b-values but the image has 1 volumes; needed: .*; fix: ",
        ),
        ({"settings": {"d_par": 0.0015}}, r"d_par"),
        ({"mask": "mask.nii.gz"}, r"mask\.nii\.gz"),
    ],
)
def test_bad_input_is_named_as_on_the_command_line(tmp_path: Path, change: dict[str, Any], seen: str) -> None:
    given = SERIES["ivim"](synth.new_dataset(tmp_path / "bids"))
    synth.write_image(tmp_path / "t1.nii.gz", np.ones(synth.SHAPE))
    synth.write_image(tmp_path / "mask.nii.gz", np.ones((2, 2, 2)))
    for name, value in change.items():
        change[name] = [str(tmp_path / value[0])] if name == "in_files" else value
        change[name] = str(tmp_path / value) if name == "mask" else change[name]
    with pytest.raises(InputError, match=seen):
        ports.fit_interface("ivim")(**given | change)._run_interface(types.SimpleNamespace(cwd=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "change", "seen"),
    [
        ("vfa", {"b1_units": "pct"}, r"b1_units: is 'pct'; needed: one of auto, factor, percent"),
        ("dce", {"frame_times": [6000.0 * i for i in range(30)]}, r"frame_times: puts frames 6000 apart"),
        ("vfa", {"repetition_time": 15.0}, r"repetition_time: is 15; needed: seconds"),
    ],
)
def test_units_are_checked_at_the_ports(tmp_path: Path, name: str, change: dict[str, Any], seen: str) -> None:
    given = SERIES[name](synth.new_dataset(tmp_path / "bids"))
    model = next(t for t in catalogue.TECHNIQUES if t.name == name).models[0].name
    with pytest.raises(InputError, match=seen):
        ports.fit_interface(model)(**given | change)._run_interface(types.SimpleNamespace(cwd=str(tmp_path)))


def test_the_noise_level_may_be_given(tmp_path: Path) -> None:
    given = SERIES["vfa"](synth.new_dataset(tmp_path / "bids"))
    given["in_files"], given["flip_angles"] = given["in_files"][:2], given["flip_angles"][:2]
    with pytest.raises(InputError, match="noise level is estimated from 3 measurements or more, not 2"):
        ports.fit_interface("vfa")(**given, estimator="map")._run_interface(
            types.SimpleNamespace(cwd=str(tmp_path))
        )
    found = outputs(pipeline(tmp_path / "known", "vfa", given, estimator="map", sigma=5.0))
    assert json.loads(found["metadata"].read_text())["fit"]["NoiseLevel"] == 5.0


def test_a_network_for_another_model_is_refused(tmp_path: Path) -> None:
    given = SERIES["ivim"](synth.new_dataset(tmp_path / "bids"))
    network = shipped_network("vfa")
    with pytest.raises(InputError, match=r"is a network for vfa; needed: one for ivim"):
        ports.fit_interface("ivim")(**given, network=network)._run_interface(
            types.SimpleNamespace(cwd=str(tmp_path))
        )


@pytest.mark.parametrize(
    ("build", "seen"),
    [
        (
            lambda: workflows.init_vfa_wf(flip_angle=3),
            r"there is no input flip_angle; needed: in_files, flip_ang",
        ),
        (lambda: workflows.init_dti_wf(model="dtii"), r"model: is 'dtii'; needed: one of dti, dki"),
    ],
)
def test_a_workflow_is_not_built_of_what_does_not_exist(build: Callable[[], Workflow], seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        build()


@pytest.mark.parametrize("model", catalogue.model_names())
def test_every_port_says_what_it_takes(model: str) -> None:
    traits = ports.fit_interface(model).input_spec().traits(transient=None)
    assert all(traits[port.name].desc for port in ports_of(model))
