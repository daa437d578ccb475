# mypy: ignore-errors
"""The response of tabulated devices, a block at a time in straight-line float32 code.

Steps are ``gain I(v)`` with the curves of ``Table``, laid end to end; a state is found at ``scale v + origin`` there.
Within one visit curves are straight enough: a device gets the lines of its way, and responds as ``affine`` devices do. Near
a bound, with coarse steps or on a long way it goes by the full formulas, as in ``engine.response``. Curves are looked up in
loops of their own: what reads at computed places does not vectorise.
"""

import numpy as np

from crossweep.engine.cpu.blocks import LANES, SIZE, STRIDE
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
    NEAR,
    ORIGIN,
    RD,
    RELAX,
    RU,
    SCALE,
    SPREAD,
    UP,
    WORD,
    XI,
    V,
    choose,
    load,
)
from crossweep.engine.cpu.kernels.integrated import ended, of_counts, unbiased
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import exp

F = np.float32
# places of a block: where states lie on the curves; up and down step there, and two more; the lines of a device's way
_NODE, _SHARE, _A, _B, _C, _D, _THERE, _LINE_UP, _SLOPE_UP, _LINE_DOWN, _SLOPE_DOWN = (
    NEAR + (16 + k) * STRIDE for k in range(11)
)
# devices that need the full formulas, a register of each quantity: what is taken of them, what is made of it, and up and
# down steps at the start, half-way, at the end and at the bounds
_GROUP = NEAR + 27 * STRIDE
_TAKEN = (
    V, UP, ALL, SPREAD, XI, HIGH, LOW, GAIN_UP, GAIN_DOWN, SCALE, ORIGIN, _LINE_UP, _SLOPE_UP, _LINE_DOWN, _SLOPE_DOWN,
    NOISE_UP, NOISE_DOWN,
)  # fmt: skip
(
    _V, _UPS, _N, _SPREAD, _XI, _HIGH, _LOW, _GUP, _GDOWN, _SCALE, _ORIGIN, _CUP, _MUP, _CDOWN, _MDOWN, _NUP, _NDOWN, _MEAN,
    _RELAX, _INSIDE, _HALF, _STEPS,
) = (LANES * q for q in range(22))  # fmt: skip
_AT = (_V, _HALF, _INSIDE, _HIGH, _LOW)


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
def _find(f, at, nodes):
    """Where the states at ``at`` lie on the curves: the node to the left, and how far they lie behind it."""
    for e in range(SIZE):
        inside = min(max(f[SCALE + e] * f[at + e] + f[ORIGIN + e], F(0.0)), F(nodes - 1))
        left = F(min(np.int32(inside), np.int32(nodes - 2)))
        f[_NODE + e], f[_SHARE + e] = left, inside - left


@inline
def _look_up(f, curves, first, a, b):
    """Two curves there: a loop of its own, because what reads at computed places does not vectorise."""
    for e in range(SIZE):
        k, share = np.uint32(np.int32(f[_NODE + e])), f[_SHARE + e]
        f[a + e], f[b + e] = _at(curves, first, k, share), _at(curves, first + 1, k, share)


@inline
def _look_on(f, curves):
    """How far the curves of the steps rise to the next node."""
    for e in range(SIZE):
        k = np.uint32(np.int32(f[_NODE + e]))
        after = k + np.uint32(1)
        f[_C + e], f[_D + e] = curves[0, after] - curves[0, k], curves[1, after] - curves[1, k]


@kernel
def _straighten(f, scalars):
    """Lines over the way that each device is about to go: up step at zero and its slope, down step at zero and its slope.
    Drives and rates for one visit follow from them, see ``affine``; and the noise half-way.

    A line has the slope of the chord from the state to where the device will be, and Simpson's mean of the curve between.
    """
    sigma, curves = scalars.noise, scalars.curves
    nodes = curves.shape[1]
    _find(f, V, nodes)
    _look_up(f, curves, 0, _A, _B)
    _look_on(f, curves)
    for e in range(SIZE):
        v, up, gain_up, gain_down, scale = f[V + e], f[UP + e], f[GAIN_UP + e], f[GAIN_DOWN + e], f[SCALE + e]
        down, here_up, here_down = f[ALL + e] - up, gain_up * f[_A + e], gain_down * f[_B + e]
        slope_up, slope_down = gain_up * scale * f[_C + e], gain_down * scale * f[_D + e]
        relax = max(down * slope_down - up * slope_up, F(-1.0))
        way = (up * here_up - down * here_down) / (F(1.0) + relax * (F(0.5) + relax * F(1 / 12)))
        f[_THERE + e] = min(max(v + way, f[LOW + e]), f[HIGH + e])
        f[_LINE_UP + e], f[_LINE_DOWN + e] = here_up, here_down
        f[_SLOPE_UP + e], f[_SLOPE_DOWN + e] = slope_up, slope_down
    _find(f, _THERE, nodes)
    _look_up(f, curves, 0, _A, _B)
    for e in range(SIZE):
        there, v = f[_THERE + e], f[V + e]
        way = there - v
        far_up, far_down = f[GAIN_UP + e] * f[_A + e], f[GAIN_DOWN + e] * f[_B + e]
        here_up, here_down = f[_LINE_UP + e], f[_LINE_DOWN + e]
        some = abs(way) * abs(f[SCALE + e]) > F(1e-3)  # of the distance of two nodes
        over = F(1.0) / (way if some else F(1.0))
        f[_SLOPE_UP + e] = (far_up - here_up) * over if some else f[_SLOPE_UP + e]
        f[_SLOPE_DOWN + e] = (far_down - here_down) * over if some else f[_SLOPE_DOWN + e]
        f[_LINE_UP + e], f[_LINE_DOWN + e] = here_up + far_up, here_down + far_down
        f[_THERE + e] = F(0.5) * (v + there)
    _find(f, _THERE, nodes)
    _look_up(f, curves, 0, _A, _B)
    _look_up(f, curves, 2, _C, _D)
    for e in range(SIZE):
        middle, gain_up, gain_down = f[_THERE + e], f[GAIN_UP + e], f[GAIN_DOWN + e]
        slope_up, slope_down = f[_SLOPE_UP + e], f[_SLOPE_DOWN + e]
        up = (f[_LINE_UP + e] + F(4.0) * gain_up * f[_A + e]) * F(1 / 6) - slope_up * middle
        down = (f[_LINE_DOWN + e] + F(4.0) * gain_down * f[_B + e]) * F(1 / 6) - slope_down * middle
        ratio_up, ratio_down = ratio_series(-slope_up), ratio_series(slope_down)
        rate_up, rate_down = -slope_up * ratio_up, slope_down * ratio_down
        f[_LINE_UP + e], f[_LINE_DOWN + e] = up, down
        f[CU + e], f[CD + e], f[RU + e], f[RD + e] = up * ratio_up, down * ratio_down, rate_up, rate_down
        f[RELAX + e] = f[UP + e] * rate_up + (f[ALL + e] - f[UP + e]) * rate_down
        f[NOISE_UP + e] = sigma * gain_up * f[_C + e]
        f[NOISE_DOWN + e] = sigma * gain_down * f[_D + e]


@kernel
def _hard(f, ids, begin, many, scalars, key):
    """The full formulas for ``many`` devices, of those that need them, from number ``begin`` on: near a bound, with coarse
    steps or on a long way. They are brought together, so that they go in vectors."""
    g, curves, kappa = f[_GROUP:], scalars.curves, scalars.kappa
    words = ids[WORD:]
    for k in range(many):
        e = np.int64(ids[CHOSEN + begin + k])
        words[k] = mix(np.uint32(ids[e] + EDGE), key)
        for q in range(len(_TAKEN)):
            g[q * LANES + k] = f[_TAKEN[q] + e]
    for k in range(LANES):  # numbers beyond the last are of an earlier visit, and not used
        v, n_up, n = g[_V + k], g[_UPS + k], max(g[_N + k], NONE)
        n_down = n - n_up
        # a pulse that would pass the bound lands on it
        m_up, m_down = min(-g[_MUP + k], LARGEST), min(g[_MDOWN + k], LARGEST)
        ratio_up, ratio_down = ratio(m_up), ratio(m_down)
        relax = n_up * m_up * ratio_up + n_down * m_down * ratio_down
        drive = n_up * g[_CUP + k] * ratio_up - n_down * g[_CDOWN + k] * ratio_down
        mean = v + (drive - relax * v) * phi(relax, exp(-relax))
        inside = min(max(mean, g[_LOW + k]), g[_HIGH + k])
        g[_MEAN + k], g[_RELAX + k], g[_INSIDE + k], g[_HALF + k] = mean, relax, inside, F(0.5) * (v + inside)
    for k in range(many):
        for q in range(5):
            place = g[_SCALE + k] * g[_AT[q] + k] + g[_ORIGIN + k]
            node, share = _found(curves, place)
            g[_STEPS + 2 * q * LANES + k] = g[_GUP + k] * _at(curves, 0, node, share)
            g[_STEPS + (2 * q + 1) * LANES + k] = g[_GDOWN + k] * _at(curves, 1, node, share)
    for k in range(LANES):
        n_up, n, spread, relax, s = (
            g[_UPS + k],
            max(g[_N + k], NONE),
            g[_SPREAD + k],
            g[_RELAX + k],
            _STEPS + k,
        )
        first, half = (g[s], g[s + LANES]), (g[s + 2 * LANES], g[s + 3 * LANES])
        last, outward = (g[s + 4 * LANES], g[s + 5 * LANES]), (g[s + 6 * LANES], g[s + 9 * LANES])
        counted = of_counts(spread, n_up, n - n_up, relax, first, half, last)
        g[_MEAN + k] = ended(
            g[_V + k], g[_MEAN + k], n_up, n - n_up, n, relax, last[0] + last[1], g[_NUP + k], g[_NDOWN + k], counted,
            unbiased(spread, n), outward, g[_HIGH + k], g[_LOW + k], kappa, g[_XI + k], words[k],
        )  # fmt: skip
    for k in range(many):
        f[END + np.int64(ids[CHOSEN + begin + k])] = g[_MEAN + k]


@kernel
def respond_curves(f, ids, scalars, key):
    """Move the devices of a block by the pulses at ``UP`` and ``ALL``, with the noise at ``XI``; see ``affine``."""
    _straighten(f, scalars)
    hard = gentle(f, scalars.noise, F(1.0), scalars.kappa, True)
    if hard > 0:
        choose(f, ids)
        for begin in range(0, hard, LANES):
            _hard(f, ids, begin, min(LANES, hard - begin), scalars, key)
    for e in range(SIZE):
        f[V + e] = f[END + e]
