"""Samplers by name.

Optuna's stochastic samplers are made anew for every trial with a seed from the study's seed and the trial
number: no two workers draw the same points, and a study that is stopped and continued draws what it would
have drawn.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from crossweep.errors import ConfigError
from crossweep.sweep.plugins import call, choose
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SamplerFor = Callable[[int], "BaseSampler"]
LATTICES = ("qmc", "grid", "levelset")  # whole sequences: the same seed for every trial


def sampler_for(settings: Settings, space: Space) -> SamplerFor:
    """A function from trial number to the sampler that chooses that trial's point.

    Raises:
        ConfigError: no such sampler or option, or one that cannot handle the space or the objectives.
    """
    known = _known(settings, space)
    part, options = choose(settings.sampler, "sampler", known)
    name = next((key for key, value in known.items() if value is part), None)
    seed = options.pop("seed", 0)
    if seed is not None and not isinstance(seed, int):
        raise ConfigError(f"study.sampler.seed: a whole number, got {seed!r}")
    if name in LATTICES:
        one: BaseSampler = call(part, {**options, "seed": seed}, "sampler")
        return lambda number: one
    if name is None and "seed" not in _parameters(part):
        other: BaseSampler = call(part, options, "sampler")
        return lambda number: other
    _refuse_impossible(name, settings, space)

    def make(number: int) -> "BaseSampler":
        drawn = int(np.random.SeedSequence([seed or 0, number]).generate_state(1)[0])
        made: BaseSampler = call(part, {**options, "seed": drawn}, "sampler")
        return made

    make(0)  # wrong options are reported before anything runs
    return make


def _known(settings: Settings, space: Space) -> dict[str, Callable[..., Any]]:
    from optuna import samplers

    def tpe(seed: int, **options: Any) -> samplers.TPESampler:
        # named, because Optuna's defaults changed with version 5; grouped trees are for conditional spaces
        defaults = {"multivariate": True, "group": space.conditional, "constant_liar": True}
        return samplers.TPESampler(seed=seed, **{**defaults, **options})

    def gp(seed: int, **options: Any) -> samplers.GPSampler:
        return samplers.GPSampler(seed=seed, **{"deterministic_objective": False, **options})

    # ours are imported when they are chosen: scipy is slow to load
    def qmc(seed: int | None, qmc_type: str = "sobol", scramble: bool = True) -> "BaseSampler":
        from crossweep.sweep.samplers.qmc import SobolSampler

        return SobolSampler(space, qmc_type=qmc_type, scramble=scramble, seed=seed)

    def grid(seed: int | None, shuffle: bool = False) -> "BaseSampler":
        from crossweep.sweep.samplers.grid import GridSampler

        return GridSampler(space, shuffle=shuffle, seed=seed)

    def levelset(seed: int | None, **options: Any) -> "BaseSampler":
        from crossweep.sweep.samplers.levelset import LevelSetSampler

        options.setdefault("levels", [settings.budget])
        options.setdefault("metric", next(iter(settings.objectives)))
        made: BaseSampler = call(
            LevelSetSampler, {"space": space, "seed": seed, "settings": settings, **options}, "sampler"
        )
        return made

    return {
        "levelset": levelset,
        "qmc": qmc,
        "grid": grid,
        "random": samplers.RandomSampler,
        "tpe": tpe,
        "gp": gp,
        "cmaes": samplers.CmaEsSampler,
        "nsgaii": samplers.NSGAIISampler,
        "nsgaiii": samplers.NSGAIIISampler,
    }


def _parameters(part: Callable[..., Any]) -> tuple[str, ...]:
    import inspect

    return tuple(inspect.signature(part).parameters)


def _refuse_impossible(name: str | None, settings: Settings, space: Space) -> None:
    if name != "cmaes":
        return
    if len(settings.objectives) > 1:
        raise ConfigError("study.sampler: cmaes takes one objective; use nsgaii, tpe or gp for several")
    if any(axis.choices is not None for axis in space.axes):
        raise ConfigError("study.sampler: cmaes takes no categorical axes; use tpe or gp")
    try:
        import cmaes  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "study.sampler: cmaes needs the package cmaes (pip install 'crossweep[cmaes]')"
        ) from error
