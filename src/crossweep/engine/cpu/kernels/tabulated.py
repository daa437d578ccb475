# mypy: ignore-errors
"""The response of tabulated devices, a block at a time in straight-line float32 code.

Steps are ``gain I(v)`` with the curves of ``Table``, laid end to end; a state is found at ``scale v + origin`` there.
Within one visit curves are straight enough: a device gets the lines of its way, and responds as ``affine`` devices do. Near
a bound, with coarse steps or on a long way it goes by the full formulas, as in ``engine.response``.
"""

import numpy as np

from crossweep.engine.cpu.blocks import SIZE
from crossweep.engine.cpu.kernels.affine import (
    EDGE,
    LARGEST,
    NOISE_DOWN,
    NOISE_UP,
    NONE,
    gentle,
    phi,
    ratio,
    ratio_series,
)
from crossweep.engine.cpu.kernels.bits import mix
from crossweep.engine.cpu.kernels.block import (
    ALL,
    CD,
    CHOSEN,
    CU,
    END,
    GAIN_DOWN,
    GAIN_UP,
    HIGH,
    LOW,
    ORIGIN,
    RD,
    RELAX,
    RU,
    SCALE,
    SPREAD,
    UP,
    XI,
    V,
    choose,
    load,
)
from crossweep.engine.cpu.kernels.integrated import ended
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import exp

F = np.float32


@kernel
def load_curves(f, device, row, first):
    """Bring a block's devices to their places: gains up and down, scale, origin, bounds [rows, n]."""
    load(f, GAIN_UP, device[0], row, first, F(0.0))
    load(f, GAIN_DOWN, device[1], row, first, F(0.0))
    load(f, SCALE, device[2], row, first, F(0.0))
    load(f, ORIGIN, device[3], row, first, F(0.0))
    load(f, HIGH, device[4], row, first, F(1e30))
    load(f, LOW, device[5], row, first, F(-1e30))


@inline
def _found(curves, place):
    """Node to the left of a place, and how far it lies behind that."""
    nodes = curves.shape[1]
    inside = min(max(place, F(0.0)), F(nodes - 1))
    left = min(np.int32(inside), np.int32(nodes - 2))
    return np.uint32(left), inside - F(left)


@inline
def _at(curves, which, k, share):
    here = curves[which, k]
    return here + share * (curves[which, k + np.uint32(1)] - here)


@inline
def _steps(curves, v, gain_up, gain_down, scale, origin):
    k, share = _found(curves, scale * v + origin)
    return gain_up * _at(curves, 0, k, share), gain_down * _at(curves, 1, k, share)


@inline
def tabulated_pulse(v, up, gain_up, gain_down, scale, origin, high, low, scalars, xi):
    """The state after one pulse.

    Args:
        v: state.
        up: whether the pulse goes up.
        gain_up: of up steps.
        gain_down: of down steps.
        scale: of the state.
        origin: where a state of zero lies on the curves.
        high: upper bound.
        low: lower bound.
        scalars: as ``scalars.Scalars``.
        xi: a standard normal number.
    """
    k, share = _found(scalars.curves, scale * v + origin)
    way, gain = (0, gain_up) if up else (1, gain_down)
    change = gain * (
        _at(scalars.curves, way, k, share) + scalars.noise * _at(scalars.curves, way + 2, k, share) * xi
    )
    moved = v + change if up else v - change
    return F(min(max(moved, low), high))


@inline
def _lines(f, e, curves):
    """Steps of device ``e`` as lines over the way that it is about to go: up step at zero and its slope, down step at zero
    and its slope; then the node left of half-way, and how far that lies behind it.

    A line has the slope of the chord from the state to where the device will be, and Simpson's mean of the curve between.
    """
    v, up, high, low = f[V + e], f[UP + e], f[HIGH + e], f[LOW + e]
    gain_up, gain_down, scale, origin = f[GAIN_UP + e], f[GAIN_DOWN + e], f[SCALE + e], f[ORIGIN + e]
    down = f[ALL + e] - up
    k, share = _found(curves, scale * v + origin)
    after = k + np.uint32(1)
    rise_up, rise_down = curves[0, after] - curves[0, k], curves[1, after] - curves[1, k]
    here_up, here_down = (
        gain_up * (curves[0, k] + share * rise_up),
        gain_down * (curves[1, k] + share * rise_down),
    )
    slope_up, slope_down = gain_up * scale * rise_up, gain_down * scale * rise_down
    relax = max(down * slope_down - up * slope_up, F(-1.0))
    way = (up * here_up - down * here_down) / (F(1.0) + relax * (F(0.5) + relax * F(1 / 12)))
    there = min(max(v + way, low), high)
    way, middle = there - v, F(0.5) * (v + there)
    far_up, far_down = _steps(curves, there, gain_up, gain_down, scale, origin)
    k, share = _found(curves, scale * middle + origin)
    half_up, half_down = gain_up * _at(curves, 0, k, share), gain_down * _at(curves, 1, k, share)
    some = abs(way) * abs(scale) > F(1e-3)  # of the distance of two nodes
    over = F(1.0) / (way if some else F(1.0))
    slope_up = (far_up - here_up) * over if some else slope_up
    slope_down = (far_down - here_down) * over if some else slope_down
    mean_up = (here_up + F(4.0) * half_up + far_up) * F(1 / 6)
    mean_down = (here_down + F(4.0) * half_down + far_down) * F(1 / 6)
    return mean_up - slope_up * middle, slope_up, mean_down - slope_down * middle, slope_down, k, share


@kernel
def _straighten(f, scalars):
    """Drives and rates of all devices for one visit, see ``affine``, and the noise half-way."""
    sigma, curves = scalars.noise, scalars.curves
    for e in range(SIZE):
        up, slope_up, down, slope_down, k, share = _lines(f, e, curves)
        ratio_up, ratio_down = ratio_series(-slope_up), ratio_series(slope_down)
        f[CU + e], f[CD + e] = up * ratio_up, down * ratio_down
        f[RU + e], f[RD + e] = -slope_up * ratio_up, slope_down * ratio_down
        f[RELAX + e] = f[UP + e] * f[RU + e] + (f[ALL + e] - f[UP + e]) * f[RD + e]
        f[NOISE_UP + e] = sigma * f[GAIN_UP + e] * _at(curves, 2, k, share)
        f[NOISE_DOWN + e] = sigma * f[GAIN_DOWN + e] * _at(curves, 3, k, share)


@inline
def _whole(f, e, word, scalars):
    """The new state of device ``e`` by the full formulas: near a bound, with coarse steps or on a long way."""
    curves, v, n_up, n, spread = scalars.curves, f[V + e], f[UP + e], max(f[ALL + e], NONE), f[SPREAD + e]
    gain_up, gain_down, scale, origin = f[GAIN_UP + e], f[GAIN_DOWN + e], f[SCALE + e], f[ORIGIN + e]
    high, low, n_down = f[HIGH + e], f[LOW + e], n - n_up
    up, slope_up, down, slope_down, _, _ = _lines(f, e, curves)
    # a pulse that would pass the bound lands on it
    m_up, m_down = min(-slope_up, LARGEST), min(slope_down, LARGEST)
    ratio_up, ratio_down = ratio(m_up), ratio(m_down)
    relax = n_up * m_up * ratio_up + n_down * m_down * ratio_down
    kept = exp(-relax)
    mean = v + (n_up * up * ratio_up - n_down * down * ratio_down - relax * v) * phi(relax, kept)
    inside = min(max(mean, low), high)
    # what one pulse more would change: its step, and what is forgotten of that until the end (Simpson's rule)
    first_up, first_down = _steps(curves, v, gain_up, gain_down, scale, origin)
    half_up, half_down = _steps(curves, F(0.5) * (v + inside), gain_up, gain_down, scale, origin)
    last_up, last_down = _steps(curves, inside, gain_up, gain_down, scale, origin)
    rest = F(4.0) * exp(F(-0.5) * relax)
    more_up = (first_up * kept + half_up * rest + last_up) * F(1 / 6)
    more_down = (first_down * kept + half_down * rest + last_down) * F(1 / 6)
    counted = spread * (n_up * more_up * more_up + n_down * more_down * more_down)
    known = spread <= F(0.0)
    unbiased = (n if known else F(1.0)), (max(n - F(1.0), F(0.5)) if known else F(1.0))
    out_up, _ = _steps(curves, high, gain_up, gain_down, scale, origin)
    _, out_down = _steps(curves, low, gain_up, gain_down, scale, origin)
    return ended(
        v, mean, n_up, n_down, n, relax, last_up + last_down, f[NOISE_UP + e], f[NOISE_DOWN + e], counted, unbiased,
        (out_up, out_down), high, low, scalars.kappa, f[XI + e], word,
    )  # fmt: skip


@kernel
def respond_curves(f, ids, scalars, key):
    """Move the devices of a block by the pulses at ``UP`` and ``ALL``, with the noise at ``XI``; see ``affine``."""
    _straighten(f, scalars)
    hard = gentle(f, scalars.noise, F(1.0), scalars.kappa, True)
    if hard > 0:
        choose(f, ids)
        for q in range(hard):
            e = np.int64(ids[CHOSEN + q])
            f[END + e] = _whole(f, e, mix(np.uint32(ids[e] + EDGE), key), scalars)
    for e in range(SIZE):
        f[V + e] = f[END + e]
