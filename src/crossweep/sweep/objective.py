"""From what a run returns to what the study is told."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from crossweep.errors import StudyError
from crossweep.sweep.settings import Settings, parse_bound

State = Literal["complete", "diverged", "pruned"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished trial.

    Args:
        state: ``diverged`` counts as completed.
        values: one per objective, the mean over the seeds.
        seed_values: per objective, the single values.
        metrics: every finite metric, mean over the seeds.
        constraints: ``{name: value}``, feasible when <= 0.
    """

    state: State
    values: tuple[float, ...] | None
    seed_values: tuple[tuple[float, ...], ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)


def metrics_of(returned: Any, settings: Settings) -> dict[str, float]:
    """Metrics of one run by name; a bare number or list is matched to the objectives in order.

    Raises:
        StudyError: it holds no numbers for the objectives.
    """
    names = list(settings.objectives)
    if isinstance(returned, Mapping):
        found = {str(key): float(value) for key, value in returned.items() if _is_number(value)}
    elif isinstance(returned, Sequence) and not isinstance(returned, str):
        found = dict(zip(names, map(float, returned))) if len(returned) == len(names) else {}
    else:
        found = {names[0]: float(returned)} if _is_number(returned) and len(names) == 1 else {}
    constrained = [parse_bound(text)[0] for text in settings.constraints]
    missing = [name for name in [*names, *constrained] if name not in found]
    if missing:
        has = ", ".join(sorted(found)) or f"{type(returned).__name__} {returned!r}"[:200]
        raise StudyError(f"study.objectives: the run must return {', '.join(missing)}; it returned {has}")
    return found


def state_of(returned: Any) -> State:
    """How a run ended: what it returns as ``state``, complete where it says nothing.

    Raises:
        StudyError: it names no such state.
    """
    said = returned.get("state", "complete") if isinstance(returned, Mapping) else "complete"
    if not isinstance(said, str):
        return "complete"  # a metric of that name
    for state in get_args(State):
        if said == state:
            return state  # type: ignore[no-any-return]
    raise StudyError(f"state: a run ends as one of {', '.join(get_args(State))}; it returned {said!r}")


def combine(runs: Sequence[Mapping[str, float]], states: Sequence[State], settings: Settings) -> Outcome:
    """The outcome of a trial from the metrics of its replicate runs.

    Raises:
        StudyError: an objective is not finite and ``study.diverged_value`` is null.
    """
    if "pruned" in states:
        return Outcome(state="pruned", values=None, metrics=_means(runs))
    diverged = "diverged" in states
    columns = []
    for name in settings.objectives:
        column = []
        for run in runs:
            value = run[name]
            if not math.isfinite(value):
                if settings.diverged_value is None:
                    raise StudyError(
                        f"objective {name} is {value}; set study.diverged_value to count such runs as results"
                    )
                value, diverged = settings.diverged_value, True
            column.append(value)
        columns.append(tuple(column))
    means = _means(runs)
    constraints = {}
    for text in settings.constraints:
        name, sign, bound = parse_bound(text)
        # a metric without a finite value cannot show that it keeps its bound
        constraints[text] = sign * (means[name] - bound) if name in means else math.inf
    return Outcome(
        state="diverged" if diverged else "complete",
        values=tuple(statistics.fmean(column) for column in columns),
        seed_values=tuple(columns),
        metrics=means,
        constraints=constraints,
    )


def _means(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of every metric that is finite in all runs."""
    names = dict.fromkeys(name for run in runs for name in run)
    columns = {name: [run.get(name, math.nan) for run in runs] for name in names}
    return {
        name: statistics.fmean(column) for name, column in columns.items() if all(map(math.isfinite, column))
    }


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | int | float):
        return True
    # numpy and torch scalars
    return hasattr(value, "item") and getattr(value, "ndim", 1) == 0
