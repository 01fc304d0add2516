"""From what was found and what was asked for to jobs: nothing is fitted or written here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find, participants, require_sessions
from bids_qmri.errors import InputError, UsageError
from bids_qmri.estimators.network_file import read_card, require_shipped_network
from bids_qmri.estimators.registry import (
    SCHEME_NETWORKS,
    default_methods,
    labels_for,
    methods_for,
    noddi_network,
)
from bids_qmri.interfaces.job import DicomOutput, FitJob
from bids_qmri.models.noddi import D_ISO, D_PAR, Noddi
from bids_qmri.protocol import DiffusionProtocol
from bids_qmri.workflows.applicability import MODELS_OF_KIND, NOT_ASKED, choose_models, estimator_obstacle
from bids_qmri.workflows.config import RunConfig


@dataclass(frozen=True)
class PlannedAcquisition:
    """An acquisition with the jobs it gets.

    Parameters
    ----------
    acquisition
        What was found.
    jobs
        One per model and estimator.
    left_out
        Why other models of its family, or estimators, are not used, by name.
    """

    acquisition: Acquisition
    jobs: tuple[FitJob, ...]
    left_out: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """All that will be done for one participant.

    Parameters
    ----------
    participant
        Label without ``sub-``.
    acquisitions
        What can be fitted.
    unusable
        What cannot be, and why.
    """

    participant: str
    acquisitions: tuple[PlannedAcquisition, ...]
    unusable: tuple[Unusable, ...]

    @property
    def jobs(self) -> tuple[FitJob, ...]:
        """All jobs, in order."""
        return tuple(job for planned in self.acquisitions for job in planned.jobs)


def select_participants(config: RunConfig) -> list[str]:
    """Return the labels that a run is about, in the order asked for, else sorted.

    Raises
    ------
    UsageError
        A label is not in the dataset, nobody is left, or the folder is not a dataset.
    """
    labels = participants(config.bids_dir, config.participants)
    if config.exclude_participants:
        participants(config.bids_dir, config.exclude_participants, "--exclude-participant-label")
        labels = [label for label in labels if label not in config.exclude_participants]
        if not labels:
            raise UsageError("leaves nobody", field="--exclude-participant-label", way_out="exclude fewer")
    require_sessions([config.bids_dir, *config.derivatives.values()], config.sessions)
    return labels


def make_plan(config: RunConfig, participant: str) -> Plan:
    """Find the acquisitions of a participant and decide what is fitted to each.

    Parameters
    ----------
    config
        Choices of the run.
    participant
        Label without ``sub-``.

    Raises
    ------
    InputError
        The participant's files cannot be indexed.
    """
    read = read_options(config)
    planned: list[PlannedAcquisition] = []
    unusable: list[Unusable] = []
    for found in find(config.bids_dir, participant, read):
        if isinstance(found, Unusable):
            unusable += [found] if _is_wanted(found, config) else []
            continue
        models, left_out = choose_models(found, config.models)
        jobs: list[FitJob] = []
        for model in models:
            methods = config.methods or default_methods(model)
            labels = labels_for(model, methods, config.tensor_fits)
            if not labels:
                left_out[model] = (
                    f"it is not estimated by {', '.join(methods)} but by {', '.join(methods_for(model))}"
                )
            for label in labels:
                if error := _without_network(config, found, model, label):
                    unusable.append(Unusable(f"{found.label} {model} {label}", error))
                elif reason := estimator_obstacle(model, label, found) or _other_network(
                    model, label, config
                ):
                    left_out[f"{model} {label}"] = reason
                else:
                    jobs.append(_job(config, read, participant, found, model, label))
        reasons = {name: reason for name, reason in left_out.items() if reason != NOT_ASKED}
        if not jobs and reasons:
            unusable.append(_without_model(found, reasons))
        planned.append(PlannedAcquisition(found, tuple(jobs), left_out))
    _require_own_names(participant, planned)
    return Plan(participant, tuple(planned), tuple(unusable))


def describe(plan: Plan) -> str:
    """Write a plan as text for ``--dry-run``.

    Parameters
    ----------
    plan
        Of one participant.
    """
    lines = [f"sub-{plan.participant}"]
    for planned in plan.acquisitions:
        acquisition = planned.acquisition
        lines.append(f"  {acquisition.kind}  {acquisition.label}  ({acquisition.images[0].name})")
        by_model: dict[str, list[str]] = {}
        for job in planned.jobs:
            by_model.setdefault(job.model, []).append(job.label)
        lines += [f"    {model}: {', '.join(labels)}" for model, labels in by_model.items()]
        lines += [f"    not {model}: {reason}" for model, reason in planned.left_out.items()]
        lines += [f"    note: {note}" for note in acquisition.notes]
    for unusable in plan.unusable:
        lines.append(f"  {'cannot run' if unusable.fault else 'nothing to fit'}  {unusable.label}")
        lines.append(f"    {unusable.error}")
    if not plan.acquisitions and not plan.unusable:
        lines.append("  nothing that quantitative models know")
    return "\n".join(lines)


def read_options(config: RunConfig) -> ReadOptions:
    """Return the choices of a run that change how files are read."""
    return ReadOptions(
        sessions=config.sessions,
        filters=config.filters,
        derivatives=config.derivatives,
        b0_threshold=config.b0_threshold,
        b1_units=config.b1_units,
        relaxivity=config.relaxivity,
        hematocrit=config.hematocrit,
        t10=config.t10,
        aif=config.aif,
        baseline_volumes=config.baseline_volumes,
    )


def _job(
    config: RunConfig,
    read: ReadOptions,
    participant: str,
    acquisition: Acquisition,
    model: str,
    label: str,
) -> FitJob:
    return FitJob(
        participant=participant,
        acquisition=acquisition,
        model=model,
        label=label,
        options=read,
        bids_dir=config.bids_dir,
        output_dir=config.output_dir,
        work_dir=config.work_dir / f"sub-{participant}",
        seed=config.random_seed,
        bounds=config.bounds,
        network={"mlp": config.network, "onnx": config.onnx}.get(label),
        diffusivities=config.diffusivities or (D_PAR, D_ISO),
        dicom=_dicom(config),
        threads=config.omp_nthreads,
        sloppy=config.sloppy,
        stop_on_error=config.stop_on_first_crash,
        debug=config.debug,
    )


def _dicom(config: RunConfig) -> DicomOutput | None:
    if config.dicom is None:
        return None
    return DicomOutput(config.dicom, config.dicom_templates, config.dicom_parametric_maps, config.run_id)


def _without_network(
    config: RunConfig, acquisition: Acquisition, model: str, label: str
) -> InputError | None:
    """Return what to say of a network that is not shipped or not for the scan, None if there is nothing."""
    try:
        if label == "ncde":
            require_shipped_network(model)
        if label in SCHEME_NETWORKS and isinstance(acquisition.protocol, DiffusionProtocol):
            _require_scheme(config, acquisition.protocol, label)
    except InputError as error:
        return error
    return None


def _require_scheme(config: RunConfig, protocol: DiffusionProtocol, label: str) -> None:
    """Refuse a network that was trained for other diffusion weightings or diffusivities."""
    # Here, because onnxruntime takes time to load.
    from bids_qmri.estimators.scheme_network import load_scheme_network, require_fit

    network = load_scheme_network(noddi_network(label, config.onnx if label == "onnx" else None))
    require_fit(network, Noddi(*(config.diffusivities or (D_PAR, D_ISO))), protocol)


def _other_network(model: str, label: str, config: RunConfig) -> str:
    """Return why the network that was given is not for a model, empty if it is."""
    if label != "mlp" or config.network is None:
        return ""
    trained = read_card(config.network).get("model")
    return "" if trained == model else f"{config.network.name} is a network for {trained}"


def _require_own_names(participant: str, planned: Sequence[PlannedAcquisition]) -> None:
    """Refuse acquisitions whose maps would overwrite each other."""
    owners: dict[str, Acquisition] = {}
    for acquisition, job in ((each.acquisition, job) for each in planned for job in each.jobs):
        other = owners.setdefault(f"{job.name} {acquisition.datatype}", acquisition)
        if other is not acquisition:
            raise InputError(
                f"gives maps of the same names as {other.images[0]}",
                file=acquisition.images[0],
                needed="one acquisition per set of entities",
                way_out="remove one, rename it with acq- or run-, or leave it out with --bids-filter-file",
            )


def _is_wanted(unusable: Unusable, config: RunConfig) -> bool:
    """Tell whether a fault concerns the models asked for; it always does where its family is not known."""
    kind = unusable.label.rsplit("_", 1)[-1].lower()
    family = MODELS_OF_KIND.get(kind)
    return not config.models or family is None or bool(set(family) & set(config.models))


def _without_model(acquisition: Acquisition, reasons: dict[str, str]) -> Unusable:
    """Turn an acquisition that no model takes into a warning that says why."""
    return Unusable(
        label=f"{acquisition.label}_{acquisition.kind}",
        error=InputError(
            "; ".join(f"{model}: {reason}" for model, reason in reasons.items()),
            file=acquisition.images[0],
            way_out="leave the file out with --bids-filter-file, or change --models or --methods",
        ),
        fault=False,
    )
