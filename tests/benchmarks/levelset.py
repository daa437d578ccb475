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
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from crossweep.gp import GaussianProcess
from crossweep.sweep.axes import Axis
from crossweep.sweep.samplers.encoding import Encoding
from crossweep.sweep.samplers.factory import sampler_for
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


def run(land: Landscape, sampler: str, trials: int, seed: int, batch: int) -> tuple[float, float]:
    """Misclassified share and seconds per question of one study; ``batch`` trials run at a time."""
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
    return misclassified(land, np.array(points), np.array(values), seed), asked / trials


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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Misclassified area of a map after a number of trials")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=1, help="trials that run at a time")
    parser.add_argument("--landscape", choices=[*LANDSCAPES, "all"], default="all")
    chosen = parser.parse_args(arguments)
    quiet_optuna()
    names = list(LANDSCAPES) if chosen.landscape == "all" else [chosen.landscape]
    for name in names:
        compare(name, chosen.trials, chosen.seeds, chosen.batch)


if __name__ == "__main__":
    main()
