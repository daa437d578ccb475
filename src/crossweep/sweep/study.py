"""Opening a study: directions, storage, pruner; and rebuilding one from its trial folders."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossweep.errors import ConfigError, StudyError
from crossweep.study_folder import TRIAL, trial_folder, trial_numbers
from crossweep.sweep.axes import distribution
from crossweep.sweep.ledger import LOST, read_trial
from crossweep.sweep.plugins import call, choose
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.study import Study

log = logging.getLogger(__name__)


def quiet_optuna() -> None:
    """No line per trial from Optuna, and no warnings about experimental features that we use on purpose."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def exists(name: str, storage: "BaseStorage") -> bool:
    """Whether the storage holds a study of this name."""
    return any(study.study_name == name for study in storage.get_all_studies())


def create(settings: Settings, name: str, storage: "BaseStorage") -> "Study":
    """The study, new or continued."""
    import optuna

    quiet_optuna()
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=settings.directions,
        pruner=build_pruner(settings.pruner),
        load_if_exists=True,
    )
    if study.metric_names is None:
        warnings.filterwarnings("ignore", message=".*metric_names.*")
        study.set_metric_names(list(settings.objectives))
    return study


def load(settings: Settings, name: str, storage: "BaseStorage") -> "Study":
    """The study as a worker opens it.

    Raises:
        StudyError: it does not exist.
    """
    import optuna

    quiet_optuna()
    try:
        return optuna.load_study(study_name=name, storage=storage, pruner=build_pruner(settings.pruner))
    except KeyError as error:
        raise StudyError(f"study.name: the storage holds no study {name!r}") from error


def build_pruner(spec: Any) -> "BasePruner":
    """One of Optuna's pruners by name; ``patient`` wraps the one given as ``inner``.

    Raises:
        ConfigError: no such pruner or option.
    """
    from optuna import pruners

    known: dict[str, Any] = {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "percentile": pruners.PercentilePruner,
        "patient": pruners.PatientPruner,
        "successive_halving": pruners.SuccessiveHalvingPruner,
        "hyperband": pruners.HyperbandPruner,
        "threshold": pruners.ThresholdPruner,
        "wilcoxon": pruners.WilcoxonPruner,
    }
    part, options = choose(spec, "pruner", known)
    if part is pruners.PatientPruner:
        options["wrapped_pruner"] = build_pruner(options.pop("inner", "median"))
        options.setdefault("patience", 2)
    if part is pruners.PercentilePruner:
        options.setdefault("percentile", 25.0)
    if part is pruners.ThresholdPruner and not options.keys() & {"lower", "upper"}:
        raise ConfigError("study.pruner: threshold needs lower or upper")
    pruner: BasePruner = call(part, options, "pruner")
    return pruner


def restore(study: "Study", directory: Path, space: Space, settings: Settings) -> int:
    """Fill an empty study from the trial folders, numbers kept; returns how many finished ones it found."""
    from optuna.trial import TrialState, create_trial

    numbers = [number for number in trial_numbers(directory) if _was_run(trial_folder(directory, number))]
    if not numbers or study.get_trials(deepcopy=False):
        return 0
    found = {number: read_trial(trial_folder(directory, number)) for number in numbers}
    finished = 0
    for number in range(numbers[-1] + 1):
        told = found.get(number)
        if told is None or told["state"] == "failed" or told["params"].keys() - set(space.names):
            attributes = {LOST: True} if told is None else {}
            if told is not None and told["retry_of"] is not None:
                attributes["retry_of"] = told["retry_of"]
            study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=attributes))
            continue
        finished += 1
        _add(study, told, space, settings)
    retried = {told["retry_of"] for told in found.values() if told is not None}
    for number, told in found.items():
        if told is not None and told["state"] == "failed" and told["retried"] and number not in retried:
            study.enqueue_trial(told["params"], user_attrs={"queued": told["params"], "retry_of": number})
    log.info("study rebuilt from %d trial folders, %d finished", len(numbers), finished)
    return finished


def _was_run(folder: Path) -> bool:
    """Whether a trial folder was more than made: it holds a result, or Hydra's files of a run that was killed."""
    return (folder / TRIAL).exists() or any(True for _ in folder.rglob(".hydra"))


def _add(study: "Study", told: Mapping[str, Any], space: Space, settings: Settings) -> None:
    from optuna.trial import TrialState, create_trial

    pruned = told["state"] == "pruned"
    attributes: dict[str, Any] = {"metrics": told["metrics"], "restored": True}
    if told["retry_of"] is not None:
        attributes["retry_of"] = told["retry_of"]
    if len(settings.seed_list) > 1 and told["seed_values"]:
        attributes["seed_values"] = told["seed_values"]
    trial = create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        values=None if pruned else told["values"],
        params=told["params"],
        distributions={name: distribution(space[name]) for name in told["params"]},
        user_attrs=attributes,
        constraints=dict(told["constraints"]) or None,
    )
    study.add_trial(trial)
