"""The mean steps of every candidate model as compiled functions of its parameters.

They state the same formulas as ``crossweep.devices`` (a test holds them together), in a form whose parameters
are the steps at zero, which an optimiser finds well determined. States are normalised to the stated range.
"""

from math import exp, expm1

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
CONSTANT, LINEAR, SOFT, EXP, POW, PIECEWISE = range(6)
NODES = 5


@njit(cache=True)
def step(code: int, p: Array, low: float, high: float, v: float, up: bool) -> float:
    """Size of one pulse at ``v``.

    Args:
        code: the model.
        p: its parameters; the first two are the steps up and down at zero (piecewise: node factors).
        low: lower bound.
        high: upper bound.
        v: state.
        up: direction.
    """
    if code == CONSTANT:
        return float(p[0] if up else p[1])
    if code == LINEAR:  # share of the step lost from 0 to the end of the range
        return float(p[0] * (1 - p[2] * v) if up else p[1] * (1 + p[3] * v))
    if code == SOFT:
        return float(p[0] * (1 - v / high) if up else p[1] * (1 - v / low))
    if code == EXP:
        return _exponential(p[0], p[2], p[3], v) if up else _exponential(p[1], p[4], p[5], -v)
    if code == POW:
        room = (high - v) / high if up else (v - low) / -low
        return float((p[0] if up else p[1]) * max(room, 0.0) ** (p[2] if up else p[3]))
    return _between(p, low, high, v, up)


@njit(cache=True)
def _exponential(size: float, fade: float, bend: float, v: float) -> float:
    """``size (1 - fade (e^(bend v) - 1) / (e^bend - 1))``: linear for no bend, never negative."""
    run = v if abs(bend) < 1e-6 else expm1(bend * v) / expm1(bend)
    return max(size * (1 - fade * run), 0.0)


@njit(cache=True)
def _between(p: Array, low: float, high: float, v: float, up: bool) -> float:
    place = min(max((v - low) / (high - low) * (NODES - 1), 0.0), NODES - 1.0)
    k = min(int(place), NODES - 2)
    shift = 0 if up else NODES
    share = place - k
    return float(max((1 - share) * p[shift + k] + share * p[shift + k + 1], 0.0))


def amplitude(size: float, fade: float, bend: float) -> tuple[float, float]:
    """``(s, A)`` with ``s (1 - A e^(bend v))`` equal to the exponential step (bend away from zero)."""
    share = fade / (exp(bend) - 1)
    return size * (1 + share), share / (1 + share)
