# mypy: ignore-errors
"""The response of devices with exponential steps, a block at a time: the integrated form of ``engine.response``.

Steps are ``unit max(1 - A exp(g (scale v + b)), 0)``; ``CU`` and ``CD`` hold the units up and down, ``RU`` the scale. The
shape that all devices share comes behind the other scalars, see ``scalars``.
"""

import numpy as np

from crossweep.engine.cpu.blocks import LANES
from crossweep.engine.cpu.kernels.affine import NONE
from crossweep.engine.cpu.kernels.block import (
    ALL,
    CD,
    CU,
    END,
    HIGH,
    LOW,
    NEAR,
    RU,
    SPREAD,
    UP,
    WORD,
    XI,
    V,
    load,
)
from crossweep.engine.cpu.kernels.integrated import (
    SUBSTEPS,
    bring_pulsed,
    ended,
    of_counts,
    take_back,
    unbiased,
)
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import exp

F = np.float32
_HIGHEST = F(60.0)  # of the exponent


@kernel
def load_shapes(f, device, row, first):
    """Bring a block's devices to their places: steps up and down, scale (twice), bounds [rows, n]."""
    load(f, CU, device[0], row, first, F(0.0))
    load(f, CD, device[1], row, first, F(0.0))
    load(f, RU, device[2], row, first, F(0.0))
    load(f, HIGH, device[4], row, first, F(1e30))
    load(f, LOW, device[5], row, first, F(-1e30))


@inline
def _step(v, s, scale, amplitude, rate, offset):
    return s * max(F(1.0) - amplitude * exp(min(rate * (scale * v + offset), _HIGHEST)), F(0.0))


@inline
def exponential_pulse(v, up, su, sd, scale, _, high, low, shape, xi):
    """The state after one pulse.

    Args:
        v: state.
        up: whether the pulse goes up.
        su: unit of an up step.
        sd: unit of a down step.
        scale: of the state.
        _: not used; other responses have a fourth number.
        high: upper bound.
        low: lower bound.
        shape: the scalars.
        xi: a standard normal number.
    """
    step_up, step_down = (
        _step(v, su, scale, shape.a_up, shape.g_up, shape.offset),
        _step(v, sd, scale, shape.a_down, shape.g_down, shape.offset),
    )  # fmt: skip
    step, unit = (step_up, su) if up else (step_down, sd)
    noise = step + shape.floor + shape.slope * abs(v) if unit > F(0.0) else F(0.0)
    change = step + shape.noise * noise * xi
    moved = v + change if up else v - change
    return F(min(max(moved, low), high))


@inline
def _drift(v, up, down, su, sd, scale, high, low, shape):
    """Ups and downs times their steps, at a state that is taken inside the bounds."""
    inside = min(max(v, low), high)
    push = up * _step(inside, su, scale, shape.a_up, shape.g_up, shape.offset)
    return push - down * _step(inside, sd, scale, shape.a_down, shape.g_down, shape.offset)


@kernel
def _go(f, shape):
    """A part of the way, by the midpoint rule, of the first devices of a block that fill a register."""
    for e in range(LANES):
        v, up, n = f[END + e], f[UP + e], max(f[ALL + e], NONE)
        su, sd, scale, high, low = f[CU + e], f[CD + e], f[RU + e], f[HIGH + e], f[LOW + e]
        middle = v + F(0.5 / SUBSTEPS) * _drift(v, up, n - up, su, sd, scale, high, low, shape)
        f[END + e] = v + F(1.0 / SUBSTEPS) * _drift(middle, up, n - up, su, sd, scale, high, low, shape)


@kernel
def respond_shapes(f, ids, scalars, key):
    """Move the devices of a block by the pulses at ``UP`` and ``ALL``, with the noise at ``XI``; see ``affine``."""
    sigma, kappa, offset, add, slope = (
        scalars.noise,
        scalars.kappa,
        scalars.offset,
        scalars.floor,
        scalars.slope,
    )
    a_up, g_up, a_down, g_down = scalars.a_up, scalars.g_up, scalars.a_down, scalars.g_down
    many = bring_pulsed(f, ids, key)
    for begin in range(0, many, LANES):
        own, words = f[NEAR + begin :], ids[WORD + begin :]
        for _ in range(SUBSTEPS):
            _go(own, scalars)
        for e in range(LANES):
            start, v, up, n = own[V + e], own[END + e], own[UP + e], max(own[ALL + e], NONE)
            su, sd, scale, high, low = own[CU + e], own[CD + e], own[RU + e], own[HIGH + e], own[LOW + e]
            down, inside = n - up, min(max(v, low), high)
            middle = F(0.5) * (start + inside)
            grown_up = a_up * exp(min(g_up * (scale * middle + offset), _HIGHEST))
            grown_down = a_down * exp(min(g_down * (scale * middle + offset), _HIGHEST))
            # the derivative of the drift; a step that is zero stays zero
            steep_up = su * g_up * scale * grown_up if grown_up < F(1.0) else F(0.0)
            steep_down = sd * g_down * scale * grown_down if grown_down < F(1.0) else F(0.0)
            relax = up * steep_up - down * steep_down
            first = (
                _step(start, su, scale, a_up, g_up, offset), _step(start, sd, scale, a_down, g_down, offset)
            )  # fmt: skip
            half = su * max(F(1.0) - grown_up, F(0.0)), sd * max(F(1.0) - grown_down, F(0.0))
            last = (
                _step(inside, su, scale, a_up, g_up, offset), _step(inside, sd, scale, a_down, g_down, offset)
            )  # fmt: skip
            always, spread = add + slope * abs(middle), own[SPREAD + e]
            noise_up = sigma * (half[0] + always) if su > F(0.0) else F(0.0)
            noise_down = sigma * (half[1] + always) if sd > F(0.0) else F(0.0)
            # step outwards that is left at a bound
            outward = (
                _step(high, su, scale, a_up, g_up, offset), _step(low, sd, scale, a_down, g_down, offset)
            )  # fmt: skip
            own[END + e] = ended(
                start, v, up, down, n, relax, last[0] + last[1], noise_up, noise_down,
                of_counts(spread, up, down, relax, first, half, last), unbiased(spread, n), outward, high, low, kappa,
                own[XI + e], words[e],
            )  # fmt: skip
    take_back(f, ids, many)
