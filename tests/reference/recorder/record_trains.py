"""Record means and covariances of the pulse counts of one update for several ways to make the trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine import describe_update, run_update, single_tile, update_parameters
from numpy_devices import Array, Trains
from store import write

FOLDER = Path(__file__).parent.parent / "trains"
REPEATS = 30_000
X = np.float32([0.9, -0.35, 0.0, 0.6])
D = np.float32([0.4, -0.25, 0.07])
# One pulse moves the weight by exactly 1, so a weight change is minus the count (x d > 0) or plus it.
COUNTER = {
    "model": "constant_step",
    "dw_min": 1.0,
    "dw_min_dtod": 0.0,
    "dw_min_std": 0.0,
    "up_down_dtod": 0.0,
    "w_max": 1e7,
    "w_min": -1e7,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
}
BITS = {"pulse_type": "STOCHASTIC_COMPRESSED", "desired_bl": 31}
PLAIN = BITS | {"update_management": False, "update_bl_management": False}
CASES: dict[str, tuple[float, dict[str, Any]]] = {
    "managed_below_one": (1.9, BITS),
    "managed": (30.5, BITS),
    "managed_saturated": (160.0, BITS),
    "managed_short": (12.0, BITS | {"desired_bl": 5}),
    "managed_long": (150.0, BITS | {"desired_bl": 100}),
    "update_management_only": (9.3, BITS | {"update_bl_management": False}),
    "grad_scale": (30.5, BITS | {"um_grad_scale": 0.4}),
    "fixed_bl": (12.0, PLAIN | {"desired_bl": 10}),
    "fixed_bl_clipped": (60.0, PLAIN | {"desired_bl": 10}),
    "free_bl": (14.6, PLAIN | {"desired_bl": 4, "fixed_bl": False}),
    "resolution": (30.5, BITS | {"res": 0.13}),
    "stochastic_rounding": (30.5, BITS | {"res": 0.13, "sto_round": True}),
    "two_polarities": (30.5, BITS | {"pulse_type": "STOCHASTIC"}),
    "mean_count": (30.5, BITS | {"pulse_type": "MEAN_COUNT"}),
}


def line(p: Array, width: float, stochastic: bool) -> Array:
    """Mean pulse probability of a line after rounding to bins of `width` and clipping at 1."""
    if width <= 0 or not stochastic:
        return np.minimum(Trains().bin(p, width), 1)
    low = np.floor(p / width) * width
    share = (p - low) / width
    return np.asarray((1 - share) * np.minimum(low, 1) + share * np.minimum(low + width, 1))


def expected_mean(lr: float, update: dict[str, Any]) -> Array:
    """Counts from the formulas, signed as a weight change."""
    full = describe_update(update_parameters(update))
    length, scale_d, scale_x = Trains().scales(X.astype(float), D.astype(float), lr, 1.0, full)
    width, stochastic = update.get("res", 0.0), update.get("sto_round", False)
    p_d, p_x = (line(s * np.abs(v), width, stochastic) for s, v in ((scale_d, D), (scale_x, X)))
    size = np.outer(p_d, p_x) * length
    if update["pulse_type"] == "MEAN_COUNT":
        size = np.rint(np.outer(np.rint(length * p_d), np.rint(length * p_x)) / length)
    return np.asarray(-np.outer(np.sign(D), np.sign(X)) * size)


def record(lr: float, update: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    tile = single_tile(len(D), len(X), COUNTER | {"construction_seed": 3}, update)
    tile.tile.set_weights(torch.zeros(len(D), len(X)))
    sums, products, most, before = np.zeros(12), np.zeros((12, 12)), np.zeros(12), np.zeros(12)
    for _ in range(REPEATS):
        run_update(tile, X[None], D[None], lr)
        now = tile.get_weights()[0].numpy().astype(float).ravel()
        change, before = now - before, now
        sums, products = sums + change, products + np.outer(change, change)
        most = np.maximum(most, np.abs(change))
    shape = (len(D), len(X))
    mean = sums / REPEATS
    covariance = (products - REPEATS * np.outer(mean, mean)) / (REPEATS - 1)
    arrays = {"mean": mean.reshape(shape), "covariance": covariance.reshape(*shape, *shape)}
    arrays |= {"most": most.reshape(shape), "x": X, "d": D}
    full = describe_update(update_parameters(update)) | {
        key: update.get(key, 0) for key in ("res", "sto_round")
    }
    return arrays, {"learning_rate": lr, "update": full, "repeats": REPEATS, "granularity": 1.0}


def main() -> None:
    for name, (lr, update) in CASES.items():
        arrays, meta = record(lr, update)
        error = np.sqrt(np.diag(arrays["covariance"].reshape(12, 12)).reshape(3, 4) / REPEATS)
        off = np.abs(arrays["mean"] - expected_mean(lr, update))
        worst = (off / np.where(error > 0, error, 1e-6)).max()
        if worst > 5:
            raise RuntimeError(f"{name}: {worst:.1f} standard errors\n{arrays['mean']}")
        size = write(FOLDER / f"{name}.npz", arrays, meta)
        print(
            f"{name:24} {size} B, most {arrays['most'].max():.0f}, off by {worst:.1f} standard errors",
            flush=True,
        )


if __name__ == "__main__":
    main()
