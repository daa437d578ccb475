# mypy: ignore-errors
"""The response of devices whose steps follow a power of the distance to the bound, a block at a time: the integrated form
of ``engine.response``.

Steps are ``unit room^power`` with ``room`` the share of the range that is left; ``CU`` and ``CD`` hold the units up and
down, ``RU`` and ``RD`` the exponents.
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
    RD,
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
from crossweep.engine.cpu.kernels.maths import exp, log

F = np.float32
_NARROW = F(1e-12)  # the range of a stuck device
_NEAR = F(1e-3)  # of the range, from a bound: slopes may be infinite there
_TINY = F(1e-30)


@kernel
def load_powers(f, device, row, first):
    """Bring a block's devices to their places: steps up and down, their exponents, bounds [rows, n]."""
    load(f, CU, device[0], row, first, F(0.0))
    load(f, CD, device[1], row, first, F(0.0))
    load(f, RU, device[2], row, first, F(1.0))
    load(f, RD, device[3], row, first, F(1.0))
    load(f, HIGH, device[4], row, first, F(1e30))
    load(f, LOW, device[5], row, first, F(-1e30))


@inline
def _power(room, power):
    """``room^power``, also 0^0 = 1."""
    raised = exp(power * log(max(room, _TINY)))
    return raised if room > _TINY else (F(1.0) if power <= F(0.0) else F(0.0))


@inline
def power_pulse(v, up, su, sd, gu, gd, high, low, scalars, xi):
    """The state after one pulse.

    Args:
        v: state.
        up: whether the pulse goes up.
        su: up step at the lower bound.
        sd: down step at the upper bound.
        gu: exponent of up steps.
        gd: exponent of down steps.
        high: upper bound.
        low: lower bound.
        scalars: as ``scalars.Scalars``.
        xi: a standard normal number.
    """
    unit, power, room = (su, gu, high - v) if up else (sd, gd, v - low)
    step = unit * _power(room / max(high - low, _NARROW), power)
    change = step + scalars.noise * step * xi
    moved = v + change if up else v - change
    return F(min(max(moved, low), high))


@inline
def _drift(v, up, down, su, sd, gu, gd, high, low, inverse):
    """Ups and downs times their steps, at a state that is taken inside the bounds."""
    inside = min(max(v, low), high)
    return up * su * _power((high - inside) * inverse, gu) - down * sd * _power((inside - low) * inverse, gd)


@kernel
def _go(f):
    """A part of the way, by the midpoint rule, of the first devices of a block that fill a register."""
    for e in range(LANES):
        v, up, n = f[END + e], f[UP + e], max(f[ALL + e], NONE)
        su, sd, gu, gd, high, low = f[CU + e], f[CD + e], f[RU + e], f[RD + e], f[HIGH + e], f[LOW + e]
        inverse = F(1.0) / max(high - low, _NARROW)
        middle = v + F(0.5 / SUBSTEPS) * _drift(v, up, n - up, su, sd, gu, gd, high, low, inverse)
        f[END + e] = v + F(1.0 / SUBSTEPS) * _drift(middle, up, n - up, su, sd, gu, gd, high, low, inverse)


@kernel
def respond_powers(f, ids, scalars, key):
    """Move the devices of a block by the pulses at ``UP`` and ``ALL``, with the noise at ``XI``; see ``affine``."""
    many, sigma, kappa = bring_pulsed(f, ids, key), scalars.noise, scalars.kappa
    for begin in range(0, many, LANES):
        own, words = f[NEAR + begin :], ids[WORD + begin :]
        for _ in range(SUBSTEPS):
            _go(own)
        for e in range(LANES):
            start, v, up, n = own[V + e], own[END + e], own[UP + e], max(own[ALL + e], NONE)
            su, sd, gu, gd, high, low = (
                own[CU + e],
                own[CD + e],
                own[RU + e],
                own[RD + e],
                own[HIGH + e],
                own[LOW + e],
            )
            down, inverse, inside = n - up, F(1.0) / max(high - low, _NARROW), min(max(v, low), high)
            first = su * _power((high - start) * inverse, gu), sd * _power((start - low) * inverse, gd)
            last = su * _power((high - inside) * inverse, gu), sd * _power((inside - low) * inverse, gd)
            middle = F(0.5) * (start + inside)
            room_up, room_down = max((high - middle) * inverse, _NEAR), max((middle - low) * inverse, _NEAR)
            half = su * _power(room_up, gu), sd * _power(room_down, gd)
            relax = (up * half[0] * gu / room_up + down * half[1] * gd / room_down) * inverse
            outward = (
                su if gu <= F(0.0) else F(0.0),
                sd if gd <= F(0.0) else F(0.0),
            )  # that is left at a bound
            spread = own[SPREAD + e]
            counted = of_counts(spread, up, down, relax, first, half, last)
            own[END + e] = ended(
                start, v, up, down, n, relax, last[0] + last[1], sigma * half[0], sigma * half[1], counted,
                unbiased(spread, n), outward, high, low, kappa, own[XI + e], words[e],
            )  # fmt: skip
    take_back(f, ids, many)
