"""From what was found and what was asked for to jobs: nothing is fitted or written here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bids_qmri import catalogue
from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.errors import InputError
from bids_qmri.estimation.preparation import untold_noise
from bids_qmri.interfaces.job import AcquisitionJob, FitJob
from bids_qmri.workflows.applicability import NOT_ASKED, choose_models
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.estimators import Choice, choices_for


@dataclass(frozen=True)
class PlannedAcquisition:
    """An acquisition with the fits it gets.

    Parameters
    ----------
    acquisition
        What was found.
    jobs
        One per model and estimator.
    left_out
        Why other models of its kind, or estimators, are not used, by name; without models that are never
        used unless they are asked for.
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
    def jobs(self) -> tuple[AcquisitionJob, ...]:
        """One per acquisition, in order."""
        return tuple(AcquisitionJob(planned.jobs) for planned in self.acquisitions if planned.jobs)


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
    planned: list[PlannedAcquisition] = []
    unusable: list[Unusable] = []
    for found in find(config.bids_dir, participant, config.read):
        if isinstance(found, Unusable):
            unusable += [found] if _is_wanted(found, config) else []
            continue
        own, faults = _plan_acquisition(config, participant, found)
        planned.append(own)
        unusable += faults
    planned, twice = _with_own_names(planned)
    return Plan(participant, tuple(planned), (*unusable, *twice))


def _plan_acquisition(
    config: RunConfig, participant: str, found: Acquisition
) -> tuple[PlannedAcquisition, list[Unusable]]:
    """Return the fits of an acquisition, and what cannot be fitted though it was asked for."""
    names, left_out = choose_models(found, config.models)
    jobs: list[FitJob] = []
    faults: list[Unusable] = []
    for name in names:
        choices, without = choices_for(config, name)
        left_out |= without
        if not choices and not without:
            left_out[name] = (
                f"it is not estimated by {', '.join(config.estimators)} but by "
                f"{', '.join(catalogue.words_for(name))}"
            )
        for choice in choices:
            try:
                reason = _obstacle(choice, found, stated=config.noise is not None)
            except InputError as error:
                faults.append(
                    Unusable(f"{found.label} {name} {choice.estimator.label}", error, kind=found.kind)
                )
                continue
            if reason:
                left_out[f"{name} {choice.estimator.label}"] = reason
            else:
                jobs.append(_job(config, participant, found, choice))
    reasons = {name: reason for name, reason in left_out.items() if reason != NOT_ASKED}
    if not jobs and reasons:
        faults.append(_without_model(found, reasons))
    told = {name: reason for name, reason in left_out.items() if not _never_meant(name, config)}
    return PlannedAcquisition(found, tuple(jobs), told), faults


def _never_meant(name: str, config: RunConfig) -> bool:
    """Tell whether what is not fitted is a model that nothing is fitted with unless it is asked for."""
    if name in config.models or name not in catalogue.model_names():
        return False
    return bool(catalogue.get_model(name).on_request)


def _obstacle(choice: Choice, found: Acquisition, *, stated: bool) -> str:
    """Return why an estimator is not used for a scan; one that cannot be, for want of a network, raises.

    `stated`: a person has said what the noise is.
    """
    choice.estimator.network_file(choice.model)
    if found.protocol is not None:
        choice.estimator.prepare(choice.model, found.protocol)
    return "" if stated else untold_noise(choice.model, choice.estimator, found.protocol)


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
            by_model.setdefault(job.model.name, []).append(job.label)
        lines += [f"    {model}: {', '.join(labels)}" for model, labels in by_model.items()]
        lines += [f"    not {', '.join(names)}: {reason}" for reason, names in _by_reason(planned).items()]
        lines += [f"    note: {note}" for note in acquisition.notes]
    for unusable in plan.unusable:
        lines.append(f"  {'cannot run' if unusable.fault else 'nothing to fit'}  {unusable.label}")
        lines.append(f"    {unusable.error}")
    if not plan.acquisitions and not plan.unusable:
        lines.append("  nothing that quantitative models know")
    return "\n".join(lines)


def _by_reason(planned: PlannedAcquisition) -> dict[str, list[str]]:
    """Return what is not fitted, models or estimators, by the reason."""
    found: dict[str, list[str]] = {}
    for name, reason in planned.left_out.items():
        found.setdefault(reason, []).append(name)
    return found


def _job(config: RunConfig, participant: str, acquisition: Acquisition, choice: Choice) -> FitJob:
    known = {p.name for p in choice.model.parameters}
    return FitJob(
        participant=participant,
        acquisition=acquisition,
        model=choice.model,
        estimator=choice.estimator,
        options=config.read,
        bids_dir=config.bids_dir,
        output_dir=config.output_dir,
        work_dir=config.work_dir / f"sub-{participant}",
        bounds={name: limits for name, limits in config.bounds.items() if name in known},
        prior=config.prior,
        noise=config.noise,
        seed=config.random_seed,
        threads=config.omp_nthreads or 1,
        dicom=config.dicom,
        sloppy=config.sloppy,
        stop_on_error=config.stop_on_first_crash,
        debug=config.debug,
    )


def _with_own_names(
    planned: Sequence[PlannedAcquisition],
) -> tuple[list[PlannedAcquisition], list[Unusable]]:
    """Leave out acquisitions whose maps would overwrite those of an earlier one, and say so."""
    owners: dict[str, Acquisition] = {}
    kept: list[PlannedAcquisition] = []
    twice: list[Unusable] = []
    for each in planned:
        found = each.acquisition
        names = [f"{job.name} {found.datatype}" for job in each.jobs]
        if other := next((owners[name] for name in names if name in owners), None):
            error = InputError(
                f"gives maps of the same names as {other.images[0]}, and is left out",
                file=found.images[0],
                needed="one acquisition per set of entities",
                fix="remove one, rename it with acq- or run-, or leave it out with --bids-filter-file",
            )
            twice.append(Unusable(f"{found.label}_{found.kind}", error, kind=found.kind))
            continue
        owners |= dict.fromkeys(names, found)
        kept.append(each)
    return kept, twice


def _is_wanted(unusable: Unusable, config: RunConfig) -> bool:
    """Tell whether a fault concerns the models asked for; it always does where its kind is not known."""
    names = catalogue.models_of(unusable.kind)
    return not config.models or not names or bool(set(names) & set(config.models))


def _without_model(acquisition: Acquisition, reasons: dict[str, str]) -> Unusable:
    """Turn an acquisition that no model takes into a warning that says why, and what mends it."""
    models = [catalogue.get_model(name) for name in catalogue.models_of(acquisition.kind) if name in reasons]
    told = [] if acquisition.protocol is None else [model.mend(acquisition.protocol) for model in models]
    mends = list(dict.fromkeys(filter(None, told)))
    return Unusable(
        label=f"{acquisition.label}_{acquisition.kind}",
        error=InputError(
            "; ".join(f"{model}: {reason}" for model, reason in reasons.items()),
            file=acquisition.images[0],
            fix="; ".join(mends)
            or "leave the file out with --bids-filter-file, or change --models or --estimators",
        ),
        fault=False,
        kind=acquisition.kind,
    )
