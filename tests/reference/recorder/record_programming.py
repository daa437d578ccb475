"""Record cells of the weight-programming study: error of the converged weight against its target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from aihwkit.simulator.configs.helpers import build_config
from aihwkit.simulator.parameters.io import IOParameters
from aihwkit.simulator.parameters.training import UpdateParameters
from engine import AnalogTile, device
from record_correlation import BASE, NAMES, changed
from store import write

FILE = Path(__file__).parent.parent / "benchmarks" / "weight_programming.npz"
SIZE, UPDATES, SEEDS = 20, 60_000, (1, 2, 3)
SLOW = BASE | {
    "up_down_dtod": 0.1,
    "dw_min_dtod": 0.3,
    "dw_min_std": 0.3,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
}
FAST = SLOW | {"w_max_dtod": 0.3, "w_min_dtod": 0.3}
CELLS = [  # algorithm, states, spread of the reference of A
    ("analog_sgd", 20, 0.0),
    ("ttv2", 20, 0.0),
    ("cttv2", 20, 0.0),
    ("agad", 20, 0.0),
    ("ttv2", 20, 0.25),
    ("cttv2", 20, 0.5),
    ("agad", 20, 0.5),
    ("ttv2", 100, 0.1),
    ("cttv2", 100, 0.5),
    ("agad", 100, 0.5),
    ("analog_sgd", 100, 0.0),
]


def config(algorithm: str, states: int, spread: float, seed: int) -> Any:
    slow = device(SLOW | {"dw_min": 2 / states})
    fast = device(FAST | {"dw_min": 2 / states, "reference_std": spread})
    perfect = IOParameters(is_perfect=True)
    update = UpdateParameters(desired_bl=5)
    built = build_config(NAMES[algorithm], slow, perfect, update, construction_seed=seed)
    if algorithm == "analog_sgd":
        return built
    more = {"transfer_every": 5, "auto_granularity": 200, "auto_scale": True, "fast_lr": 1.0}
    more |= {"in_chop_prob": 0.0 if algorithm == "ttv2" else 0.1, "in_chop_random": algorithm == "cttv2"}
    if algorithm == "agad":
        more["tail_weightening"] = 5
    changed(built, more)
    built.device.unit_cell_devices = [fast, slow]
    built.device.transfer_forward = perfect
    return built


def run(algorithm: str, states: int, spread: float, seed: int) -> float:
    """100 x standard deviation of weight minus target, mean over 18 checkpoints of the last 30 %."""
    rng = np.random.default_rng(seed)
    tile = AnalogTile(SIZE, SIZE, config(algorithm, states, spread, seed))
    tile.tile.set_weights(torch.zeros(SIZE, SIZE))
    tile.set_learning_rate(0.1)
    target = torch.from_numpy(np.float32(0.3 * rng.standard_normal((SIZE, SIZE))))
    x = torch.from_numpy(np.float32(rng.standard_normal((UPDATES, SIZE))))
    wanted, errors = x @ target.T, []
    for t in range(UPDATES):
        row = x[t : t + 1]
        tile.update(row, row @ tile.tile.get_weights().T - wanted[t : t + 1])
        if t >= 0.7 * UPDATES and (t + 1) % 1000 == 0:
            errors.append(100 * float((tile.tile.get_weights() - target).std()))
    return float(np.mean(errors))


def main() -> None:
    found: list[list[float]] = []
    for cell in CELLS:
        found.append([run(*cell, seed) for seed in SEEDS])
        print(*cell, np.round(found[-1], 2), flush=True)
        meta = {"cells": CELLS[: len(found)], "cell_fields": ["algorithm", "states", "reference_std_of_A"]}
        meta |= {"fast": FAST, "slow": SLOW, "seeds": SEEDS, "updates": UPDATES, "learning_rate": 0.1}
        write(FILE, {"error": np.array(found)}, meta)


if __name__ == "__main__":
    main()
