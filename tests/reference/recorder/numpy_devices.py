"""Plain-numpy devices and pulse trains: the recorder's independent second opinion.

Written from the formulas (one pulse at a time, double precision), sharing no code with the engine that is
recorded nor with crossweep. A trace is kept only if this loop follows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Hidden parameters of one crossbar, each `[d_size, x_size]`, and the scalars of its model."""

    model: str
    granularity: float
    arrays: dict[str, Array]
    scalars: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]


def mean_step(cells: Cells, w: Array, *, up: bool) -> Array:
    """Size of one noise-free pulse at `w` (>= 0 means: in the direction asked for), before clipping."""
    return _STEPS[cells.model](cells, w, up)


def apply_counts(cells: Cells, w: Array, counts: NDArray[np.int64]) -> Array:
    """Apply `counts` pulses per device (sign = direction) one after the other, clip after each pulse."""
    reference = cells.arrays.get("reference", np.zeros_like(w))
    v = w + reference
    for pulse in range(int(np.abs(counts).max(initial=0))):
        moved = np.where(counts > 0, v + mean_step(cells, v, up=True), v - mean_step(cells, v, up=False))
        moved = np.minimum(np.maximum(moved, cells["w_min"]), cells["w_max"])
        v = np.where(np.abs(counts) > pulse, moved, v)
    return np.where(counts == 0, w, v - reference)


def _constant(cells: Cells, w: Array, up: bool) -> Array:
    return cells["step_up" if up else "step_down"] + 0 * w


def _linear(cells: Cells, w: Array, up: bool) -> Array:
    way = "up" if up else "down"
    return cells[f"step_{way}"] + cells[f"slope_{way}"] * w


def _soft_bounds(cells: Cells, w: Array, up: bool) -> Array:
    bound = cells["w_max" if up else "w_min"]
    live = bound > 0 if up else bound < 0
    share = np.where(live, w / np.where(live, bound, 1), 0)
    return cells["step_up" if up else "step_down"] * (1 - share)


def _exp(cells: Cells, w: Array, up: bool) -> Array:
    s, width = cells.scalars, cells["w_max"] - cells["w_min"]
    z = 2 * s["a"] * w / width + s["b"]
    way, sign = ("up", 1.0) if up else ("down", -1.0)
    shape = 1 - s[f"A_{way}"] * np.exp(sign * s[f"gamma_{way}"] * z)
    return np.where(width > 0, cells[f"step_{way}"] * np.maximum(shape, 0), 0)


def _pow(cells: Cells, w: Array, up: bool) -> Array:
    width = cells["w_max"] - cells["w_min"]
    room = cells["w_max"] - w if up else w - cells["w_min"]
    way = "up" if up else "down"
    return cells[f"step_{way}"] * np.maximum(room / width, 0) ** cells[f"gamma_{way}"]


def _piecewise(cells: Cells, w: Array, up: bool) -> Array:
    nodes = np.asarray(cells.scalars["piecewise_up" if up else "piecewise_down"], float)
    step = cells["step_up" if up else "step_down"]
    if len(nodes) == 1:
        return step * nodes[0]
    place = np.maximum((w - cells["w_min"]) / (cells["w_max"] - cells["w_min"]) * (len(nodes) - 1), 0)
    k = np.minimum(np.floor(place).astype(int), len(nodes) - 2)
    t = np.minimum(place - k, 1)
    return step * ((1 - t) * nodes[k] + t * nodes[k + 1])


_STEPS = {
    "constant_step": _constant,
    "linear_step": _linear,
    "soft_bounds": _linear,
    "soft_bounds_reference": _soft_bounds,
    "exp_step": _exp,
    "pow_step": _pow,
    "pow_step_reference": _pow,
    "piecewise_step": _piecewise,
}


@dataclass
class Trains:
    """Pulse counts of one sample where they are certain, and how near any of them came to a rounding edge.

    Attributes:
        margin: smallest distance [pulse] of any rounded number to its edge so far; a trace where it is small
            is thrown away, because another order of float operations could round the other way.
    """

    margin: float = np.inf

    def counts(
        self, x: Array, d: Array, lr: float, granularity: float, update: dict[str, Any]
    ) -> NDArray[np.int64]:
        """Signed counts `[d_size, x_size]` (positive = up) of one sample; raises if they would be random."""
        none = np.zeros((len(d), len(x)), np.int64)
        length, scale_d, scale_x = self.scales(x, d, abs(lr), granularity, update)
        if length == 0:
            return none
        p_d, p_x = scale_d * np.abs(d), scale_x * np.abs(x)
        if update["pulse_type"] == "DETERMINISTIC_IMPLICIT":
            p_d, p_x = self.bin(p_d, update["d_res_implicit"]), self.bin(p_x, update["x_res_implicit"])
        p_d, p_x = np.minimum(p_d, 1), np.minimum(p_x, 1)
        if update["pulse_type"] == "DETERMINISTIC_IMPLICIT":
            wanted = length * np.outer(p_d, p_x)
            self.edge(wanted - 0.5, exact=False)
            size = np.rint(wanted)
        else:
            for p in (p_d, p_x):
                if np.any((p > 1e-9) & (p < 1 - 1e-6)):
                    raise ValueError(f"random pulse counts, probabilities {p}")
            size = length * np.outer(p_d > 0.5, p_x > 0.5)
        return (-np.sign(lr) * np.outer(np.sign(d), np.sign(x)) * size).astype(np.int64)

    def scales(
        self, x: Array, d: Array, lr: float, granularity: float, update: dict[str, Any]
    ) -> tuple[int, float, float]:
        desired = update["desired_bl"]
        if not (update["update_management"] or update["update_bl_management"]):
            if update["fixed_bl"] or lr <= granularity * desired:
                scale = sqrt(lr / (granularity * desired))
                return desired, scale, scale
            return max(ceil(lr / granularity), 1), 1.0, 1.0
        top_x, top_d = np.abs(x).max(), np.abs(d).max() * update["um_grad_scale"]
        if top_x == 0 or top_d == 0:
            return 0, 0.0, 0.0
        wanted = lr * top_x * top_d / granularity
        length = desired
        if update["update_bl_management"]:
            length = min(ceil(wanted - 1e-6), desired)
            if wanted < desired and update["pulse_type"] != "DETERMINISTIC_IMPLICIT":
                self.edge(np.array(wanted))
        scale = sqrt(lr / (granularity * length))
        if wanted > desired:
            top_d *= desired / wanted
        return length, scale * sqrt(top_x / top_d), scale * sqrt(top_d / top_x)

    def bin(self, p: Array, width: float) -> Array:
        if width <= 0:
            return p
        self.edge(p / width - 0.5, exact=False)
        return np.asarray(np.rint(p / width) * width)

    def edge(self, values: Array, *, exact: bool = True) -> None:
        """Note the distance of `values` to the nearest integer; with `exact`, integers are meant."""
        distance = np.abs(values - np.rint(values))
        if exact:
            distance = distance[distance > 1e-7]
        self.margin = min(self.margin, float(distance.min(initial=np.inf)))
