"""What a study would run, without running it."""

from collections.abc import Mapping
from typing import Any

from crossweep.sweep.ledger import count_trials
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space

MOST = 200  # points listed; a larger study shows its first ones
GUIDED = ("tpe", "gp", "cmaes", "nsgaii", "nsgaiii", "levelset")


def points(
    study: Any, sampler_for: Any, space: Space, settings: Settings, most: int = MOST
) -> list[dict[str, Any]]:
    """The next points, asked of a copy of the study in memory so that nothing is recorded."""
    import optuna

    copy = optuna.create_study(directions=settings.directions)
    for trial in study.get_trials(deepcopy=False) if study is not None else ():
        copy.add_trial(trial)
    target = settings.n_trials if settings.n_trials is not None else most
    wanted = min(most, target - count_trials(copy.get_trials(deepcopy=False)).finished)
    found = []
    for _ in range(max(0, wanted)):
        copy.sampler = sampler_for(len(copy.get_trials(deepcopy=False)))
        exhausted = getattr(copy.sampler, "exhausted", None)
        waiting = copy.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
        if not waiting and exhausted is not None and exhausted(copy):
            break
        trial = copy.ask()
        found.append({"number": trial.number, "values": space.suggest(trial)})
    return found


def text(found: list[dict[str, Any]], space: Space, settings: Settings, sampler: str, directory: Any) -> str:
    """The listing that ``study.dry_run`` prints."""
    seeds = settings.seed_list
    lines = [f"study in {directory}: {sampler} sampler over {len(space.axes)} axes"]
    for axis in space.axes:
        span = (
            ", ".join(map(str, axis.choices))
            if axis.choices is not None
            else f"{axis.low:g} .. {axis.high:g}"
        )
        unit = f" [{axis.unit}]" if axis.unit else ""
        when = f"  only where {_conditions(axis.when)}" if axis.when else ""
        lines.append(f"  {axis.name}: {span}{unit}, {axis.scale} -> {', '.join(axis.keys)}{when}")
    for point in found:
        values = "  ".join(f"{name}={_short(value)}" for name, value in point["values"].items())
        lines.append(f"  trial {point['number']}: {values}")
    runs = len(found) * max(1, len(seeds))
    lines.append(
        f"{len(found)} trials, {runs} runs" + (f" (seeds {', '.join(map(str, seeds))})" if seeds else "")
    )
    if sampler in GUIDED:
        lines.append(f"{sampler} chooses from results, so later points will differ from this list")
    return "\n".join(lines)


def _conditions(when: Mapping[str, tuple[Any, ...]]) -> str:
    return " and ".join(f"{key} in {', '.join(map(str, accepted))}" for key, accepted in when.items())


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
