"""How much of a map is wrong after 40 trials: level set against Sobol, TPE and random points.

A noisy accuracy surface over two axes falls off a cliff at a curved boundary. Each sampler chooses its
points; one and the same model, fitted afterwards, says on which side of the level every place lies. Printed:
the misclassified share of the area, median and quartiles over seeds.

    python tests/benchmarks/levelset.py --trials 40 --seeds 10
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
import optuna

from crossweep.gp import GaussianProcess
from crossweep.sweep.axes import Axis
from crossweep.sweep.samplers.factory import sampler_for
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space
from crossweep.sweep.study import quiet_optuna

LEVEL, NOISE = 0.5, 0.02
SPACE = Space(
    (
        Axis(name="noise", keys=("noise",), low=0.0, high=1.0),
        Axis(name="skew", keys=("skew",), low=0.0, high=1.0),
    )
)


def surface(noise: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """Loss in 0..1: none near the origin, all beyond a curved edge, steepest at the edge."""
    return 1 / (1 + np.exp(-12 * (np.hypot(noise / 0.7, skew / 0.5) ** 1.5 - 0.9 + 0.2 * np.sin(4 * skew))))


def misclassified(points: np.ndarray, values: np.ndarray, seed: int) -> float:
    """Share of the area that an independent fit puts on the wrong side of the level."""
    side = (np.arange(80) + 0.5) / 80
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    mean, _ = GaussianProcess.fit(points, values, seed=seed).predict(grid)
    return float(np.mean((mean > LEVEL) != (surface(*grid.T) > LEVEL)))


def run(sampler: str, trials: int, seed: int, batch: int) -> tuple[float, float]:
    """Misclassified share and seconds per question of one study; ``batch`` trials run at a time."""
    options = {"name": sampler, "seed": seed}
    if sampler == "levelset":
        options |= {"levels": [LEVEL], "stop_below": None}
    chooser = sampler_for(Settings(sampler=options, objectives={"loss": "minimize"}), SPACE)
    study = optuna.create_study(direction="minimize")
    rng = np.random.default_rng(seed)
    points, values, asked = [], [], 0.0
    while len(values) < trials:
        started, running = time.perf_counter(), []
        for _ in range(min(batch, trials - len(values))):
            study.sampler = chooser(len(study.get_trials(deepcopy=False)))
            trial = study.ask()
            running.append((trial, SPACE.suggest(trial)))
        asked += time.perf_counter() - started
        for trial, point in running:
            x = np.array([point["noise"], point["skew"]])
            points.append(x)
            values.append(float(surface(*x)) + NOISE * rng.standard_normal())
            study.tell(trial, values[-1])
    return misclassified(np.array(points), np.array(values), seed), asked / trials


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Misclassified area of a map after a number of trials")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=1, help="trials that run at a time")
    chosen = parser.parse_args(arguments)
    quiet_optuna()
    medians = {}
    print(f"{chosen.trials} trials, {chosen.seeds} seeds, {chosen.batch} at a time")
    for sampler in ("levelset", "qmc", "tpe", "random"):
        wrong, cost = zip(*(run(sampler, chosen.trials, seed, chosen.batch) for seed in range(chosen.seeds)))
        medians[sampler] = statistics.median(wrong)
        low, high = np.quantile(wrong, [0.25, 0.75])
        print(
            f"{sampler:9} {100 * medians[sampler]:5.2f} % wrong [{100 * low:.2f}, {100 * high:.2f}], "
            f"{1000 * statistics.median(cost):.0f} ms per question",
            flush=True,
        )
    ratio = medians["levelset"] / min(medians["qmc"], medians["tpe"])
    print(f"level set over the better of Sobol and TPE: {ratio:.2f} (at most 0.5 is the aim)")


if __name__ == "__main__":
    main()
