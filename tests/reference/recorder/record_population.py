"""Record the statistics of the hidden parameters over 40 000 devices of every preset and of a few models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from device_cases import MODELS, PRESETS, SPREAD
from engine import device, extra, hidden, single_tile
from store import write

FOLDER = Path(__file__).parent.parent / "populations"
SHAPE = (200, 200)
LEVELS = (np.arange(101) + 0.5) / 101
UPDATE = {"pulse_type": "STOCHASTIC_COMPRESSED", "desired_bl": 1}


def record(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = spec | {"construction_seed": 9}
    tile = single_tile(*SHAPE, spec, UPDATE)
    found = {name: a.astype(float).ravel() for name, a in hidden(tile).items()}
    arrays: dict[str, Any] = {"levels": LEVELS}
    for name, a in found.items():
        arrays[f"{name}.mean"], arrays[f"{name}.std"] = a.mean(), a.std(ddof=1)
        arrays[f"{name}.quantiles"] = np.float32(np.quantile(a, LEVELS))
    names = [name for name, a in found.items() if a.std() > 0]
    arrays["correlation"] = np.float32(np.corrcoef([found[name] for name in names]))
    fields = {k: v for k, v in vars(device(spec)).items() if isinstance(v, int | float | list)}
    scales = {key: extra(tile)[key][0] for key in ("weight_granularity", "num_states")}
    meta = {"spec": spec, "fields": fields, "n": SHAPE[0] * SHAPE[1], "correlated": names} | scales
    return arrays, meta


def main() -> None:
    cases = {name: SPREAD | spec for name, spec in MODELS.items()}
    cases |= {f"preset_{name}": spec for name, spec in PRESETS.items()}
    for name, spec in cases.items():
        arrays, meta = record(spec)
        size = write(FOLDER / f"{name}.npz", arrays, meta)
        print(f"{name:32} {size} B, {meta['num_states']:.1f} states of {meta['weight_granularity']:.6f}")


if __name__ == "__main__":
    main()
