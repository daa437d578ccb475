"""Record the distribution of the weight change under pulse and write noise, device-to-device spread off.

The engine looks its normal numbers up in a table of 32768 that each tile draws once, so the mean of a tile's
noise is off by about σ/181 on every pulse. Many tiles are pooled to bring that down (see ../README.md).

Usage: python record_noise.py [name part]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from device_cases import MODELS, PRESETS, SPREAD
from engine import device, extra, hidden, single_tile
from numpy_devices import Array
from store import write

FOLDER = Path(__file__).parent.parent / "noise"
N_TILES, SHAPE = 128, (12, 16)
STARTS = (0.2, 0.5, 0.85)  # place between w_min and w_max
PULSES = (1, 31, 1000)
LEVELS = (np.arange(129) + 0.5) / 129
ONE_PULSE = {
    "pulse_type": "STOCHASTIC_COMPRESSED",
    "desired_bl": 1,
    "update_management": False,
    "update_bl_management": False,
}
SKIP = ("stuck", "inconsistent", "log_normal", "at_sp", "own_bounds", "kept", "increasing", "exp_step_reram")


def identical(spec: dict[str, Any]) -> dict[str, Any]:
    """The same device without any spread between devices."""
    spread = [name for name in vars(device(spec)) if name.endswith("_dtod")]
    if hasattr(device(spec), "reference_std"):
        spread.append("reference_std")
    return spec | dict.fromkeys(spread, 0.0)


def cases() -> dict[str, dict[str, Any]]:
    found = {}
    for name, spec in MODELS.items():
        if any(part in name for part in SKIP):
            continue
        noisy = SPREAD | spec | {"dw_min_std": 0.5}
        if hasattr(device(noisy), "write_noise_std"):
            noisy["write_noise_std"] = 0.8
        found[name] = noisy
    found["soft_bounds_reference_mult"] = found["soft_bounds_reference"] | {"mult_noise": True}
    found["exp_step_complex"] = found["exp_step"] | {"dw_min_std_add": 0.03, "dw_min_std_slope": 0.2}
    return found | {f"preset_{name}": spec for name, spec in PRESETS.items()}


def samples(spec: dict[str, Any], start: float) -> dict[str, Array]:
    """Change of visible and persistent weight `[6, n]` after +1, +31, +1000, -1, -31, -1000 pulses."""
    seen: dict[str, list[list[Array]]] = {
        "visible": [[] for _ in range(6)],
        "persistent": [[] for _ in range(6)],
    }
    for _ in range(N_TILES):
        tile = single_tile(*SHAPE, spec, ONE_PULSE)
        tile.set_learning_rate(1e3)
        for way in (0, 1):
            tile.tile.set_weights(torch.full(SHAPE, start))
            done = 0
            for i, n in enumerate(PULSES):
                sign = -1.0 if way == 0 else 1.0
                tile.update(torch.ones(n - done, SHAPE[1]), torch.full((n - done, SHAPE[0]), sign))
                done = n
                seen["visible"][3 * way + i].append(tile.get_weights()[0].numpy().ravel() - start)
                raw = tile.get_hidden_parameters()
                if "persistent_weights" in raw:
                    seen["persistent"][3 * way + i].append(raw["persistent_weights"].numpy().ravel() - start)
    return {name: np.array([np.concatenate(a) for a in rows]) for name, rows in seen.items() if rows[0]}


def record(spec: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    spec = identical(spec | {"construction_seed": 5})
    described, tile = device(spec), single_tile(*SHAPE, spec, ONE_PULSE)
    reference = hidden(tile).get("reference", np.zeros(SHAPE))[0, 0]
    starts = [
        np.float32(described.w_min + f * (described.w_max - described.w_min) - reference) for f in STARTS
    ]
    stack: dict[str, list[Array]] = {}
    for start in starts:
        for name, a in samples(spec, float(start)).items():
            stack.setdefault(f"{name}_mean", []).append(a.mean(axis=1, dtype=float))
            stack.setdefault(f"{name}_var", []).append(a.var(axis=1, ddof=1, dtype=float))
            stack.setdefault(f"{name}_quantiles", []).append(np.float32(np.quantile(a, LEVELS, axis=1).T))
    arrays = {name: np.stack(rows) for name, rows in stack.items()}
    arrays |= {"start": np.array(starts), "pulses": np.array([*PULSES, *(-n for n in PULSES)])}
    arrays |= {"levels": LEVELS}
    arrays |= {f"C.{name}": a[:1, :1] for name, a in hidden(tile).items() if name != "decay_scale"}
    fields = {k: v for k, v in vars(described).items() if isinstance(v, int | float | list)}
    meta = {
        "spec": spec,
        "fields": fields,
        "granularity": extra(tile)["weight_granularity"][0],
        "n": N_TILES * SHAPE[0] * SHAPE[1],
        "n_tiles": N_TILES,
        "noise_table": 32768,
    }
    return arrays, meta


def main(part: str = "") -> None:
    for name, spec in cases().items():
        if part in name:
            arrays, meta = record(spec)
            size = write(FOLDER / f"{name}.npz", arrays, meta)
            print(f"{name:32} {size} B", np.round(arrays["visible_mean"][1], 4), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
