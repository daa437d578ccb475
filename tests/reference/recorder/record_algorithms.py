"""Record exact, noise-free state traces of the training algorithms (see ../README.md for the file format).

Usage: python record_algorithms.py [case name part]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from algorithm_cases import CASES
from engine import (
    algorithm_tile,
    cells_of,
    choppers,
    counters,
    describe_update,
    run_update,
    state,
    update_parameters,
)
from numpy_algorithms import RULES, Loop
from numpy_devices import Array
from store import write

FOLDER = Path(__file__).parent.parent / "algorithms"
TOLERANCE = 5e-6  # of the plain-numpy loop, over the whole trace, relative where a number exceeds 1
MARGIN = 4e-5  # nothing that is rounded may lie nearer [pulse] to its edge


class Disagreement(Exception):
    """The engine and the plain-numpy loop part; `margin` tells whether rounding may be the cause."""

    def __init__(self, text: str, margin: float) -> None:
        super().__init__(f"{text}, margin {margin:.1e}")
        self.margin = margin


def inputs(case: dict[str, Any], rng: np.random.Generator) -> tuple[Array, Array]:
    """`x [t, batch, x_size]`, `d [t, batch, d_size]` some vectors zero."""
    shape = (case["n_updates"], case["batch"])
    x = rng.standard_normal((*shape, case["x_size"]))
    mix = rng.standard_normal((case["d_size"], case["x_size"])) / np.sqrt(case["x_size"])
    d = 0.7 * x @ mix.T + 0.7 * rng.standard_normal((*shape, case["d_size"]))
    if case["inputs"] == "real":  # size varies from sample to sample, so do BL and the running abs-max
        d *= 2.0 ** -rng.integers(0, 4, (*shape, 1))
    else:  # one magnitude per vector, powers of two; single elements are zero
        x = np.sign(x) * (rng.random(x.shape) < 0.9) * 2.0 ** -rng.integers(0, 2, (*shape, 1))
        d = np.sign(d) * (rng.random(d.shape) < 0.9) * 2.0 ** -rng.integers(0, 2, (*shape, 1))
    x[7], d[11] = 0, 0
    return np.float16(x).astype(float), np.float16(d).astype(float)  # short mantissas compress


def learning_rates(case: dict[str, Any]) -> Array:
    """Constant, once zero, halved for the last third: schedules must reach every use of the rate."""
    rates = np.full(case["n_updates"], case["learning_rate"])
    rates[2 * case["n_updates"] // 3 :] /= 2
    rates[13] = 0
    return np.float32(rates).astype(float)


def kept_steps(n: int) -> Array:
    """Update numbers (from 1) whose state is stored."""
    return np.unique([*range(1, 21), *range(30, n, 10), n])


def flips(before: dict[str, Array], after: dict[str, Array]) -> dict[str, Any]:
    return {name: before[name] != after[name] for name in after}


def compare(loop: Loop, seen: dict[str, Array], step: int) -> float:
    worst = 0.0
    for name, expected in (loop.state | {"visible": loop.visible()}).items():
        if name not in seen:
            continue
        off = np.abs(seen[name] - expected) / np.maximum(1, np.abs(expected))
        if off.max() > TOLERANCE:
            # A small difference is float32 rounding: the next seed is tried.
            margin = 0.0 if off.max() < 10 * TOLERANCE else loop.trains.margin
            raise Disagreement(f"{name} after update {step}: off by {off.max():.2g}", margin)
        worst = max(worst, float(off.max()))
    return worst


def compare_choppers(loop: Loop, seen: dict[str, Array], step: int) -> None:
    for name, value in seen.items():
        if not np.array_equal(value.astype(bool), getattr(loop, name)):
            text = f"{name} after update {step}: {value} {getattr(loop, name)}"
            raise Disagreement(text, loop.trains.margin)


def record(case: dict[str, Any], attempt: int) -> tuple[dict[str, Array], dict[str, Any]]:
    """Run engine and loop side by side; returns arrays and meta."""
    case = case | {"seed": case["seed"] + 1000 * attempt}
    specs = [spec | {"construction_seed": case["seed"]} for spec in case["devices"]]
    rng = np.random.default_rng(case["seed"])
    tile, settings = algorithm_tile(case | {"devices": specs})
    x, d = inputs(case, rng)
    rates = learning_rates(case)
    start = np.float32(0.3 * rng.uniform(-1, 1, (case["d_size"], case["x_size"])))
    tile.tile.set_weights(torch.from_numpy(start))
    cells = cells_of(tile, specs)
    update = describe_update(update_parameters(case["update"]))
    first = state(tile, len(cells))["visible"]
    loop = RULES[case["algorithm"]](cells, first.astype(float), settings, update)
    arrays, worst = follow(case, tile, loop, (x, d, rates))
    arrays |= {"x": np.float32(x), "d": np.float32(d), "start": np.float32(first)}
    arrays |= {"learning_rate": np.float32(rates)}
    roles = ["A", *(f"A{i}" for i in range(1, len(cells) - 1)), "C"] if len(cells) > 1 else ["C"]
    meta: dict[str, Any] = {"case": case, "settings": settings, "update": update, "roles": {}}
    for i, (role, c) in enumerate(zip(roles, cells, strict=True)):
        arrays |= {f"{role}.{name}": np.float32(a) for name, a in c.arrays.items() if name != "decay_scale"}
        scalars = {k: v for k, v in c.scalars.items() if "piecewise" not in k or c.model == "piecewise_step"}
        spec = case["devices"][min(i, 1)]
        meta["roles"][role] = {
            "model": c.model,
            "granularity": c.granularity,
            "scalars": scalars,
            "spec": spec,
        }
    meta["final_counters"] = {name: list(map(float, a)) for name, a in counters(tile).items()}
    meta |= {"margin": loop.trains.margin, "largest_difference_to_numpy_loop": worst}
    return arrays, meta


def follow(
    case: dict[str, Any], tile: Any, loop: Loop, given: tuple[Array, Array, Array]
) -> tuple[dict[str, Array], float]:
    """All updates; returns the recorded states, choppers and pulse counts, and the largest difference."""
    series: dict[str, list[Array]] = {}
    steps, worst, before = kept_steps(len(given[0])), 0.0, choppers(tile)
    for t, (x, d, rate) in enumerate(zip(*given, strict=True)):
        run_update(tile, x, d, rate)
        now, after = state(tile, len(loop.cells)), choppers(tile)
        counts = loop.batch(x, d, rate, flips(before, after))
        trusted = now if case["check_visible"] else {k: a for k, a in now.items() if k != "visible"}
        compare_choppers(loop, after, t + 1)
        worst, before = max(worst, compare(loop, trusted, t + 1)), after
        row = {name: a.astype(np.uint8) for name, a in after.items()}
        row |= {f"counts_{name}": c.astype(np.int16) for name, c in counts.items()}
        if t + 1 in steps:
            row |= {name: np.float32(a) for name, a in now.items()}
        for name, a in row.items():
            series.setdefault(name, []).append(a)
    return {name: np.stack(a) for name, a in series.items()} | {"steps": steps.astype(np.int32)}, worst


def main(part: str = "") -> None:
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        if part not in case["name"]:
            continue
        margin = 0.0
        for attempt in range(60):
            try:
                arrays, meta = record(case, attempt)
            except Disagreement as error:
                if error.margin < MARGIN:
                    continue
                print(f"{case['name']:32} DISAGREES", error)
                break
            margin = meta["margin"]
            if margin > MARGIN:
                size = write(FOLDER / f"{case['name']}.npz", arrays, meta)
                moved = {k: int(np.abs(a).sum()) for k, a in arrays.items() if k.startswith("counts")}
                worst = meta["largest_difference_to_numpy_loop"]
                print(
                    f"{case['name']:32} {size / 1024:6.1f} kB, off {worst:.1e}, margin {margin:.1e}, {moved}"
                )
                break
        else:
            print(f"{case['name']:32} no attempt with enough margin, last {margin:.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
