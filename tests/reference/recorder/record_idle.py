"""Record what happens without pulses: decay towards the reset bias, and power-law drift (noise off)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from aihwkit.simulator.configs.devices import DriftParameter
from device_cases import REFERENCE, SPREAD
from engine import hidden, single_tile
from numpy_devices import Array
from store import write

FOLDER = Path(__file__).parent.parent / "idle"
SHAPE = (4, 5)
UPDATE = {"pulse_type": "STOCHASTIC_COMPRESSED", "desired_bl": 1}
DECAY = {"lifetime": 20.0, "lifetime_dtod": 0.3, "reset": 0.1, "reset_dtod": 0.1, "dw_min_std": 0.0}
MODELS = {
    "constant_step": {"model": "constant_step"},
    "soft_bounds": {"model": "soft_bounds"},
    "soft_bounds_reference": {"model": "soft_bounds_reference"} | REFERENCE,
}
TIMES = (1.0, 5.0, 10.0, 100.0, 1e4, 1e6)  # [s] of each call; t_0 = 2 s
DRIFT = {"nu": 0.1, "nu_dtod": 0.3, "t_0": 2.0}


def start_of(tile: Any) -> Array:
    rng = np.random.default_rng(5)
    tile.tile.set_weights(torch.from_numpy(np.float32(rng.uniform(-0.3, 0.3, SHAPE))))
    return np.asarray(tile.get_weights()[0].numpy().copy())


def agree(name: str, seen: Array, expected: Array) -> None:
    if np.abs(seen - expected).max() > 2e-6:
        raise RuntimeError(f"{name}: off by {np.abs(seen - expected).max():.2g}")


def decay(name: str, spec: dict[str, Any]) -> None:
    """`w [40, 4, 5]` after each decay step: w = (w - bias) scale + bias, then clip to the bounds."""
    spec = SPREAD | DECAY | spec | {"construction_seed": 4}
    tile = single_tile(*SHAPE, spec, UPDATE)
    start, cells, seen = start_of(tile), hidden(tile), []
    w, bias = start.astype(float), cells["reset_bias"]
    for _ in range(40):
        tile.decay_weights()
        seen.append(tile.get_weights()[0].numpy().copy())
        w = np.clip((w - bias) * cells["decay_scale"] + bias, cells["w_min"], cells["w_max"])
        agree(name, seen[-1], w)
    arrays = {"start": start, "w": np.stack(seen)} | {f"C.{k}": a for k, a in cells.items()}
    print(name, write(FOLDER / f"decay_{name}.npz", arrays, {"spec": spec}))


def drift() -> None:
    """`w [6, 4, 5]` after each call; an untouched clock runs on: w = w_0 max(sum of times / t_0, 1)^-nu."""
    spec = SPREAD | {"model": "constant_step", "dw_min_std": 0.0, "construction_seed": 4}
    tile = single_tile(*SHAPE, spec | {"drift": DriftParameter(**DRIFT)}, UPDATE)
    start, seen, time = start_of(tile), [], 0.0
    nu = tile.get_hidden_parameters()["drift_nu"].numpy().copy()
    for step in TIMES:
        tile.drift_weights(step)
        time += step
        seen.append(tile.get_weights()[0].numpy().copy())
        agree("drift", seen[-1], start * max(time / DRIFT["t_0"], 1) ** -nu)
    arrays = {"start": start, "w": np.stack(seen), "seconds": np.array(TIMES), "C.drift_nu": nu}
    print("drift", write(FOLDER / "drift.npz", arrays, {"spec": spec, "drift": DRIFT}))


if __name__ == "__main__":
    for case, description in MODELS.items():
        decay(case, description)
    drift()
