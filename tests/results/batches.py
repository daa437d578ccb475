"""Made-up studies whose points come in batches, each chosen from what the earlier ones have shown."""

from __future__ import annotations

import numpy as np
import optuna

from crossweep.axis import Axis
from crossweep.results.points import Points
from crossweep.sweep.samplers.named import sampler_for
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space
from crossweep.sweep.study import quiet_optuna
from tests.results.worlds import BUDGET, SKEW, SPREAD, Truth, as_points


def batched(
    truth: Truth,
    rng: np.random.Generator,
    *,
    n: int = 24,
    seeds: int = 5,
    most: int = 6,
    noise: float = 0.6,
    shared: float = 0.3,
    axes: tuple[Axis, ...] = (SKEW, SPREAD),
) -> Points:
    """n points of the level set with `seeds` runs each, at most `most` at once; `shared` is the spread of the seeds' own
    effect, which all points have in common."""
    quiet_optuna()
    settings = Settings(sampler={"name": "levelset", "levels": [BUDGET], "seed": int(rng.integers(1 << 30))})
    space = Space(axes)
    chooser = sampler_for(settings, space)
    study, common = optuna.create_study(), shared * rng.standard_normal(seeds)
    unit, values = np.zeros((0, len(axes))), np.zeros((0, seeds))
    while len(unit) < n:
        sampler = study.sampler = chooser(len(unit))
        batch = []
        for _ in range(max(1, min(most, n - len(unit), sampler.blind(study)))):  # type: ignore[attr-defined]
            trial = study.ask()
            batch.append((trial, space.suggest(trial)))
        own = np.array([[float(a.to_unit(point[a.name])) for a in axes] for _, point in batch])
        found = truth(own)[:, None] + noise * rng.standard_normal((len(own), seeds)) + common
        for (trial, _), row in zip(batch, found, strict=True):
            trial.set_user_attr("seed_values", [list(row)])
            study.tell(trial, float(row.mean()))
        unit, values = np.concatenate((unit, own)), np.concatenate((values, found))
    return as_points(axes, unit, values)
