"""Record noise-free pulse responses of every device model and preset (see ../README.md).

Usage: python record_devices.py [name part]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from device_cases import MODELS, PRESETS, SPREAD
from engine import cells_of, device, single_tile
from numpy_devices import Array, apply_counts
from store import write

FOLDER = Path(__file__).parent.parent / "devices"
SHAPE = (4, 5)
TOLERANCE = 5e-6


def silent(spec: dict[str, Any]) -> dict[str, Any]:
    """The same device without cycle-to-cycle and write noise."""
    described = device(spec)
    noise = {"dw_min_std": 0.0}
    if hasattr(described, "write_noise_std"):
        noise["write_noise_std"] = 0.0
    return spec | noise


def pulses(states: float) -> Array:
    """Signed pulses per step: 60 steps up, 60 down, then 40 single alternating ones (up first).

    Devices with many states get 2 pulses per step; more would let the float32 rounding of the engine grow.
    """
    many = int(np.clip(round(states / 100), 1, 2))
    return np.array([many] * 60 + [-many] * 60 + [1, -1] * 20)


def record(name: str, spec: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    spec = silent(spec | {"construction_seed": 7})
    one = {"pulse_type": "STOCHASTIC_COMPRESSED", "update_management": False, "update_bl_management": False}
    tile = single_tile(*SHAPE, spec, one | {"desired_bl": 1})
    cells = cells_of(tile, [spec])[0]
    counts = pulses(cells.scalars["n_states"])
    tile.set_learning_rate(1e3)
    rng = np.random.default_rng(3)
    reach = cells.arrays.get("reference", 0)
    wanted = np.float32(
        cells["w_min"] + (cells["w_max"] - cells["w_min"]) * rng.uniform(0.02, 0.98, SHAPE) - reach
    )
    tile.tile.set_weights(torch.from_numpy(wanted))
    w = start = tile.get_weights()[0].numpy().copy()
    expected, seen, worst = start.astype(float), [], 0.0
    for n in counts:
        tile.update(torch.ones(abs(n), SHAPE[1]), torch.full((abs(n), SHAPE[0]), -float(np.sign(n))))
        w = tile.get_weights()[0].numpy().copy()
        expected = apply_counts(cells, expected, np.full(SHAPE, n))
        worst = max(worst, float((np.abs(w - expected) / np.maximum(1, np.abs(expected))).max()))
        if worst > TOLERANCE:
            raise RuntimeError(f"{name}: off by {worst:.2g} after step {len(seen) + 1}\n{w}\n{expected}")
        seen.append(w)
    arrays = {"counts": counts.astype(np.int16), "start": start, "wanted": wanted, "w": np.stack(seen)}
    arrays |= {f"C.{key}": np.float32(a) for key, a in cells.arrays.items()}
    plain = {key: value for key, value in vars(device(spec)).items() if isinstance(value, int | float | list)}
    meta = {
        "model": cells.model,
        "spec": spec,
        "fields": plain,
        "granularity": cells.granularity,
        "n_states": cells.scalars["n_states"],
        "largest_difference_to_numpy_loop": worst,
    }
    return arrays, meta


def main(part: str = "") -> None:
    cases = {name: SPREAD | spec for name, spec in MODELS.items()}
    cases |= {f"preset_{name}": spec for name, spec in PRESETS.items()}
    for name, spec in cases.items():
        if part in name:
            arrays, meta = record(name, spec)
            size = write(FOLDER / f"{name}.npz", arrays, meta)
            moved = np.abs(np.diff(arrays["w"], axis=0)).sum()
            print(f"{name:32} {size} B, off {meta['largest_difference_to_numpy_loop']:.1e}, path {moved:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
