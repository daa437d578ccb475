"""Record the correlation-detection benchmark and the constant-gradient task, per construction seed.

Usage: python record_correlation.py [correlation|gradient]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from aihwkit.simulator.configs.helpers import build_config
from aihwkit.simulator.parameters.io import IOParameters
from aihwkit.simulator.parameters.training import UpdateParameters
from aihwkit.simulator.presets.utils import StandardIOParameters
from engine import AnalogTile, device
from numpy_devices import Array
from store import write

FOLDER = Path(__file__).parent.parent / "benchmarks"
SIZE = 5
NAMES = {"analog_sgd": "sgd", "ttv1": "ttv1", "ttv2": "ttv2", "cttv2": "c-ttv2", "agad": "agad"}
NAMES |= {"mixed_precision": "mp"}
OFFSETS = (0.0, 0.2, 0.35, 0.5)
SEEDS = 16
ON = np.eye(SIZE, dtype=bool)
BASE = {
    "model": "soft_bounds_reference",
    "w_max": 1.0,
    "w_min": -1.0,
    "dw_min_dtod_log_normal": True,
    "subtract_symmetry_point": True,
    "mult_noise": False,
}
COARSE = BASE | {
    "dw_min": 0.1,
    "w_max_dtod": 0.3,
    "w_min_dtod": 0.3,
    "dw_min_dtod": 0.0,
    "dw_min_std": 0.0,
    "up_down": 0.0,
    "up_down_dtod": 0.0,
}
NOISY = BASE | {
    "dw_min": 0.05,
    "w_max_dtod": 0.3,
    "w_min_dtod": 0.3,
    "dw_min_dtod": 0.3,
    "dw_min_std": 0.3,
    "up_down": 0.0,
    "up_down_dtod": 0.3,
}


def changed(config: Any, fields: dict[str, Any]) -> Any:
    """`config` with fields of its compound set; a misspelt one is an error."""
    for name, value in fields.items():
        if not hasattr(config.device, name):
            raise AttributeError(name)
        setattr(config.device, name, value)
    return config


def correlation_config(algorithm: str, offset: float, seed: int) -> Any:
    bl = 5 if algorithm in ("ttv2", "cttv2", "agad") else 31
    described = device(COARSE | {"reference_mean": offset})
    update = UpdateParameters(desired_bl=bl)
    more: dict[str, Any] = {}
    if algorithm in ("ttv2", "cttv2", "agad"):
        more = {"transfer_every": 1, "auto_granularity": 200, "auto_scale": True}
        more |= {"in_chop_random": False, "in_chop_prob": 0.0 if algorithm == "ttv2" else 0.1}
    if algorithm == "agad":
        more["tail_weightening"] = 5
    if algorithm == "mixed_precision":
        more = {
            "transfer_every": 5,
            "n_rows_per_transfer": 1,
            "granularity": 0.1,
            "n_x_bins": 4,
            "n_d_bins": 4,
        }
    config = build_config(NAMES[algorithm], described, StandardIOParameters, update, construction_seed=seed)
    return changed(config, more)


def run_correlation(algorithm: str, offset: float, seed: int, steps: int = 5000, last: int = 1000) -> Array:
    """Weight `[5, 5]` averaged over the last updates."""
    rng = np.random.default_rng(seed)
    tile = AnalogTile(SIZE, SIZE, correlation_config(algorithm, offset, seed))
    tile.tile.set_weights(torch.from_numpy(np.float32(0.001 * rng.standard_normal((SIZE, SIZE)))))
    tile.set_learning_rate(0.1)
    x = np.float32(rng.standard_normal((steps, SIZE)))
    d = np.float32(0.4 * x + 0.6 * rng.standard_normal((steps, SIZE)))
    rows = list(zip(torch.from_numpy(x).split(1), torch.from_numpy(d).split(1), strict=True))
    total = np.zeros((SIZE, SIZE))
    for t, (row_x, row_d) in enumerate(rows):
        tile.update(row_x, row_d)
        if t >= steps - last:
            total += tile.get_weights()[0].numpy()
    return total / last


def correlation() -> None:
    found = {}
    for algorithm in NAMES:
        weights = np.array([[run_correlation(algorithm, o, s + 1) for s in range(SEEDS)] for o in OFFSETS])
        found[algorithm] = np.float32(weights)
        for offset, w in zip(OFFSETS, weights, strict=True):
            on, off = w[:, ON], w[:, ~ON]
            text = f"on {on.mean():.3f}±{on.std():.3f}, off {off.mean():.3f}±{off.std():.3f}"
            print(f"{algorithm:16} {offset:4} {text}", flush=True)
        meta = {"device": COARSE, "offsets": OFFSETS, "seeds": list(range(1, SEEDS + 1)), "updates": 5000}
        meta |= {"averaged_updates": 1000, "learning_rate": 0.1}
        write(FOLDER / "correlation.npz", found, meta)


def gradient_config(algorithm: str, offset: float, seed: int) -> Any:
    fast = device(NOISY | {"reference_mean": -offset})
    more = {"transfer_every": 5, "auto_granularity": 200, "auto_scale": False, "fast_lr": 1.0}
    more |= {"in_chop_random": False, "in_chop_prob": 0.0 if algorithm == "ttv2" else 0.1}
    if algorithm == "agad":
        more["tail_weightening"] = 5
    perfect = IOParameters(is_perfect=True)
    update = UpdateParameters(desired_bl=5)
    config = changed(build_config(NAMES[algorithm], fast, perfect, update, construction_seed=seed), more)
    config.device.unit_cell_devices = [fast, device(NOISY)]
    config.device.transfer_forward = perfect
    return config


def run_gradient(algorithm: str, alpha: float, offset: float, seed: int, marks: tuple[int, ...]) -> Array:
    """Weight `[marks, 5, 5]`."""
    rng = np.random.default_rng(seed)
    tile = AnalogTile(SIZE, SIZE, gradient_config(algorithm, offset, seed))
    tile.tile.set_weights(torch.zeros(SIZE, SIZE))
    tile.set_learning_rate(0.1)
    source, other = (np.float32(rng.standard_normal((max(marks), SIZE))) for _ in range(2))
    d = torch.from_numpy(np.float32(alpha * source + (1 - alpha) * other))
    x, seen = torch.from_numpy(-source), []
    for t in range(max(marks)):
        tile.update(x[t : t + 1], d[t : t + 1])
        if t + 1 in marks:
            seen.append(tile.get_weights()[0].numpy().copy())
    return np.array(seen)


def gradient() -> None:
    marks, offsets, alphas = (500, 1000, 2000, 4000), (0.0, 0.8, -0.8), (1.0, 0.4)
    found, seeds = {}, range(1, 13)
    for algorithm in ("ttv2", "cttv2", "agad"):
        found[algorithm] = np.float32(
            [[[run_gradient(algorithm, a, o, s, marks) for s in seeds] for o in offsets] for a in alphas]
        )
        for a, by_offset in zip(alphas, found[algorithm], strict=True):
            for o, w in zip(offsets, by_offset, strict=True):
                text = np.round(w[..., ON].mean(axis=(0, 2)), 2), round(float(w[:, -1][:, ~ON].mean()), 3)
                print(f"{algorithm:8} alpha {a}, SP of A shifted by {o:4}", *text, flush=True)
        meta = {"device": NOISY, "marks": marks, "sp_shift_of_A": offsets, "alphas": alphas}
        meta |= {"seeds": list(seeds), "learning_rate": 0.1}
        write(FOLDER / "constant_gradient.npz", found, meta)


if __name__ == "__main__":
    for part in sys.argv[1:] or ("correlation", "gradient"):
        {"correlation": correlation, "gradient": gradient}[part]()
