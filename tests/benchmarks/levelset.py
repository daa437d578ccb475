"""How much of a map is wrong after 40 trials: level set against Sobol, TPE and random points.

Three landscapes over two axes. ``synthetic``: a noisy loss that falls off a cliff at a curved boundary.
``near`` and ``wide``: real trainings on the digits, recorded on a grid with two seeds per cell
(`record_landscape.py`); the truth is a smooth fit to the cells, and each trial adds a residual drawn from those of
the cells.

Each sampler chooses its points; one and the same model, fitted afterwards, says on which side of the level every
place lies. Printed: the misclassified share of the area, median and quartiles over seeds.

    python tests/benchmarks/levelset.py --trials 40 --seeds 10
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from crossweep.axis import Axis
from crossweep.gp import GaussianProcess
from crossweep.sweep.samplers.encoding import Encoding
from crossweep.sweep.samplers.named import sampler_for
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space
from crossweep.sweep.study import quiet_optuna

HERE = Path(__file__).resolve().parent
SAMPLERS = ("levelset", "qmc", "tpe", "random")
AIM = 0.5  # of the better of Sobol and TPE


@dataclass(frozen=True)
class Landscape:
    """What is mapped.

    Args:
        space: two axes.
        level: the loss whose contour is wanted.
        truth: loss [n] at points [n, 2] of the unit square.
        noise: what one trial adds, drawn from a generator.
    """

    space: Space
    level: float
    truth: Callable[[np.ndarray], np.ndarray]
    noise: Callable[[np.random.Generator], float]

    @cached_property
    def grid(self) -> np.ndarray:
        """[n, 2] places where the map is judged."""
        side = (np.arange(80) + 0.5) / 80
        return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)

    @cached_property
    def beyond(self) -> np.ndarray:
        """[n] whether the loss is above the level there."""
        return self.truth(self.grid) > self.level


def synthetic() -> Landscape:
    """Loss in 0..1: none near the origin, all beyond a curved edge, steepest at the edge."""

    def truth(x: np.ndarray) -> np.ndarray:
        edge = np.hypot(x[:, 0] / 0.7, x[:, 1] / 0.5) ** 1.5 - 0.9 + 0.2 * np.sin(4 * x[:, 1])
        return np.asarray(1 / (1 + np.exp(-12 * edge)))

    axes = tuple(Axis(name=name, keys=(name,), low=0.0, high=1.0) for name in ("noise", "skew"))
    return Landscape(Space(axes), 0.5, truth, lambda rng: 0.02 * float(rng.standard_normal()))


def recorded(name: str) -> Landscape:
    """Error increase [percentage points] over SP skew and SP variability, level 1.2: a study of two seeds."""
    # every trial of a study has the same seeds, so what they share belongs to the map, not to the noise
    names = ["sp_skew", "sp_variability"]
    cells = pd.read_csv(HERE / f"digits_{name}.csv").groupby(names)["error_increase"].mean()
    points = np.array(list(cells.index), dtype=float)
    high = float(points.max())
    values = cells.to_numpy(dtype=float)
    model = GaussianProcess.fit(points / high, values, seed=0)
    residuals = values - model.predict(points / high)[0]
    axes = tuple(Axis(name=name, keys=(name,), low=0.0, high=high) for name in names)
    return Landscape(
        Space(axes), 1.2, lambda x: model.predict(x)[0], lambda rng: float(rng.choice(residuals))
    )


LANDSCAPES = {"synthetic": synthetic, "near": partial(recorded, "near"), "wide": partial(recorded, "wide")}


def misclassified(land: Landscape, points: np.ndarray, values: np.ndarray, seed: int) -> float:
    """Share of the area that an independent fit puts on the wrong side of the level."""
    mean, _ = GaussianProcess.fit(points, values, seed=seed).predict(land.grid)
    return float(np.mean((mean > land.level) != land.beyond))


def study_of(
    land: Landscape, sampler: str, trials: int, seed: int, batch: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Points asked for [n, 2], what they returned [n], and seconds per question; ``batch`` trials run at a time."""
    options = {"name": sampler, "seed": seed}
    if sampler == "levelset":
        options |= {"levels": [land.level], "stop_below": None}
    chooser = sampler_for(Settings(sampler=options, objectives={"loss": "minimize"}), land.space)
    study, unit = optuna.create_study(direction="minimize"), Encoding(land.space)
    rng = np.random.default_rng(seed)
    points, values, asked = [], [], 0.0
    while len(values) < trials:
        started, running = time.perf_counter(), []
        for _ in range(min(batch, trials - len(values))):
            study.sampler = chooser(len(study.get_trials(deepcopy=False)))
            trial = study.ask()
            running.append((trial, land.space.suggest(trial)))
        asked += time.perf_counter() - started
        for trial, point in running:
            points.append(unit.features(point))
            values.append(float(land.truth(points[-1][None])[0]) + land.noise(rng))
            study.tell(trial, values[-1])
    return np.array(points), np.array(values), asked / trials


def run(land: Landscape, sampler: str, trials: int, seed: int, batch: int) -> tuple[float, float]:
    """Misclassified share and seconds per question of one study."""
    points, values, seconds = study_of(land, sampler, trials, seed, batch)
    return misclassified(land, points, values, seed), seconds


def compare(name: str, trials: int, seeds: int, batch: int) -> float:
    """Print one table; returns the level set's median over that of the better of Sobol and TPE."""
    land, medians = LANDSCAPES[name](), {}
    print(f"{name}: {trials} trials, {seeds} seeds, {batch} at a time")
    for sampler in SAMPLERS:
        wrong, cost = zip(*(run(land, sampler, trials, seed, batch) for seed in range(seeds)))
        medians[sampler] = statistics.median(wrong)
        low, high = np.quantile(wrong, [0.25, 0.75])
        print(
            f"  {sampler:9} {100 * medians[sampler]:5.2f} % wrong [{100 * low:.2f}, {100 * high:.2f}], "
            f"{1000 * statistics.median(cost):.0f} ms per question",
            flush=True,
        )
    ratio = medians["levelset"] / min(medians["qmc"], medians["tpe"])
    print(f"  level set over the better of Sobol and TPE: {ratio:.2f} (at most {AIM} is the aim)")
    return ratio


def bound(name: str, trials: int, seeds: int) -> None:
    """Print how small the wrong area could be for a sampler that knows the map, next to Sobol's and TPE's.

    Near its edge of slope ``g`` a map with posterior deviation ``s`` is wrong in a strip of mean width
    ``E|s xi| / g``. The greedy design knows the edge, the slopes, the noise and the hyper-parameters, and puts every
    point where the sum of these widths falls most.
    """
    land = LANDSCAPES[name]()
    rng = np.random.default_rng(0)
    noise = float(np.var([land.noise(rng) for _ in range(4000)]))
    inside = land.beyond.reshape(80, 80)
    edge = np.zeros_like(inside)
    edge[:-1] |= inside[:-1] != inside[1:]
    edge[:, :-1] |= inside[:, :-1] != inside[:, 1:]
    steepness = np.hypot(*np.gradient(land.truth(land.grid).reshape(80, 80), 1 / 80))[edge]
    places = land.grid[edge.ravel()]
    model = GaussianProcess.fit(land.grid[::29], land.truth(land.grid[::29]), seed=0)
    hyper = replace(model.hyper, noise=noise / model.scale**2)

    def wrong(points: np.ndarray) -> float:
        zero = np.zeros(len(points))
        known = GaussianProcess(
            x=points, y=zero, noise_variance=zero, hyper=hyper, shift=0.0, scale=model.scale
        )
        return float(np.sum(known.predict(places)[1] * np.sqrt(2 / np.pi) / steepness)) / 80

    side = np.linspace(0, 1, 26)
    candidates = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    best = np.zeros((0, 2))
    for _ in range(trials):
        tried = [np.concatenate([best, one[None]]) for one in candidates]
        best = min(tried, key=wrong)
    print(f"{name}: {trials} points of a sampler that knows the map")
    for sampler in SAMPLERS:
        ratios = [wrong(best) / wrong(study_of(land, sampler, trials, seed, 1)[0]) for seed in range(seeds)]
        print(f"  over {sampler:9} {statistics.median(ratios):.2f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Misclassified area of a map after a number of trials")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=1, help="trials that run at a time")
    parser.add_argument(
        "--bound", action="store_true", help="what a sampler that knows the map could reach (minutes)"
    )
    parser.add_argument("--landscape", choices=[*LANDSCAPES, "all"], default="all")
    chosen = parser.parse_args(arguments)
    quiet_optuna()
    names = list(LANDSCAPES) if chosen.landscape == "all" else [chosen.landscape]
    for name in names:
        if chosen.bound:
            bound(name, chosen.trials, chosen.seeds)
        else:
            compare(name, chosen.trials, chosen.seeds, chosen.batch)


if __name__ == "__main__":
    main()
