"""Made-up points with a known surface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from crossweep.axis import Axis
from crossweep.results.points import Points

Array = NDArray[np.float64]
Truth = Callable[[Array], Array]
SKEW = Axis(name="skew", low=0.0, high=0.5, unit="w_max", label="SP skew")
SPREAD = Axis(name="variability", low=0.0, high=0.8, unit="w_max", label="SP variability")
BUDGET = 1.2


def cliff(unit: Array) -> Array:
    """Flat near zero, then a smooth cliff of 12 points across the diagonal."""
    return 12 / (1 + np.exp(-8 * (unit[:, 0] + 0.6 * unit[:, 1] - 0.95)))


def steep(unit: Array) -> Array:
    """A fall to chance: 50 points over a fifth of the range, and a bent line."""
    return 50 / (1 + np.exp(-25 * (unit[:, 0] ** 2 + 0.5 * unit[:, 1] - 0.6)))


def bowl(unit: Array) -> Array:
    """Grows with the square of either flaw."""
    return 6 * unit[:, 0] ** 2 + 3 * unit[:, 1] ** 2 + 2 * unit[:, 0] * unit[:, 1]


def random_surface(rng: np.random.Generator) -> Truth:
    """A surface drawn from a Matern-5/2 process (2000 waves) around the budget."""
    waves = rng.standard_normal((2000, 2)) * np.sqrt(5 / rng.chisquare(5, 2000))[:, None] / [0.5, 0.8]
    phases, weights = rng.uniform(0, 2 * np.pi, 2000), rng.standard_normal(2000) * np.sqrt(2 / 2000)
    middle = rng.normal(BUDGET, 1.0)

    def truth(unit: Array) -> Array:
        return middle + 3.0 * np.cos(unit @ waves.T + phases) @ weights

    return truth


def as_points(axes: tuple[Axis, ...], unit: Array, values: Array) -> Points:
    """Complete trials at unit coordinates [n, axes], with the values of their seeds [n, seeds]."""
    n, seeds = values.shape
    return Points(
        axes=axes,
        x=np.column_stack([a.from_unit(unit[:, j]) for j, a in enumerate(axes)]),
        unit=unit,
        y=values.mean(axis=1),
        seeds=np.full(n, seeds),
        values=values,
        diverged=np.zeros(n, dtype=bool),
        folders=("",) * n,
        trials=tuple(range(n)),
        lost=np.zeros((0, len(axes) + 1)),
    )


def observed(
    truth: Truth,
    rng: np.random.Generator,
    *,
    n: int = 32,
    seeds: int = 1,
    noise: float = 0.3,
    shared: float = 0.0,
    axes: tuple[Axis, ...] = (SKEW, SPREAD),
) -> Points:
    """n Sobol points seen through normal noise; `shared` is the spread of the seeds' own effect."""
    unit = qmc.Sobol(len(axes), rng=rng).random(n)
    values = (
        truth(unit)[:, None] + noise * rng.standard_normal((n, seeds)) + shared * rng.standard_normal(seeds)
    )
    return as_points(axes, unit, values)
