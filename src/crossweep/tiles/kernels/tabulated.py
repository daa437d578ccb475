# mypy: ignore-errors
"""The response of tabulated devices, a block at a time: the integrated form of ``engine.response``.

Steps are ``gain I(v)`` with the curves of ``Table``, laid end to end. A state is found at ``scale v + origin`` there;
``CU`` and ``CD`` hold the gains up and down, ``RU`` the scale, ``RD`` the origin.
"""

import numpy as np

from crossweep.tiles.blocks import SIZE
from crossweep.tiles.kernels.affine import EDGE, NONE
from crossweep.tiles.kernels.bits import mix
from crossweep.tiles.kernels.block import ALL, CD, CU, END, HIGH, LOW, RD, RU, SPREAD, UP, XI, V, load
from crossweep.tiles.kernels.integrated import SUBSTEPS, ended
from crossweep.tiles.kernels.jit import inline, kernel
from crossweep.tiles.kernels.maths import exp

F = np.float32


@kernel
def load_curves(f, device, row, first):
    """Bring a block's devices to their places: gains up and down, scale, origin, bounds [rows, n]."""
    load(f, CU, device[0], row, first, F(0.0))
    load(f, CD, device[1], row, first, F(0.0))
    load(f, RU, device[2], row, first, F(0.0))
    load(f, RD, device[3], row, first, F(0.0))
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


@kernel
def respond_curves(f, ids, scalars, key):
    """Move the devices of a block by the pulses at ``UP`` and ``ALL``, with the noise at ``XI``; see ``affine``."""
    sigma, kappa, curves = scalars.noise, scalars.kappa, scalars.curves
    for e in range(SIZE):
        start, up, n, spread = f[V + e], f[UP + e], max(f[ALL + e], NONE), f[SPREAD + e]
        cu, cd, scale, origin, high, low = f[CU + e], f[CD + e], f[RU + e], f[RD + e], f[HIGH + e], f[LOW + e]
        down, v = n - up, start
        half = start
        for q in range(SUBSTEPS):
            inside = min(max(v, low), high)
            half = inside if q == SUBSTEPS // 2 else half
            push, pull = _steps(curves, inside, cu, cd, scale, origin)
            middle = v + (up * push - down * pull) * F(0.5 / SUBSTEPS)
            push, pull = _steps(curves, min(max(middle, low), high), cu, cd, scale, origin)
            v += (up * push - down * pull) * F(1.0 / SUBSTEPS)
        inside = min(max(v, low), high)
        k, share = _found(curves, scale * (F(0.5) * (start + inside)) + origin)
        after = k + np.uint32(1)
        steep_up = cu * scale * (curves[0, after] - curves[0, k])
        steep_down = cd * scale * (curves[1, after] - curves[1, k])
        relax = down * steep_down - up * steep_up
        noise_up, noise_down = sigma * cu * _at(curves, 2, k, share), sigma * cd * _at(curves, 3, k, share)
        # what one pulse more would change: its step, and what is forgotten of that until the end (Simpson's rule)
        first_up, first_down = _steps(curves, start, cu, cd, scale, origin)
        half_up, half_down = _steps(curves, half, cu, cd, scale, origin)
        last_up, last_down = _steps(curves, inside, cu, cd, scale, origin)
        kept = exp(F(-0.5) * relax)
        more_up = (first_up * kept * kept + F(4.0) * half_up * kept + last_up) * F(1 / 6)
        more_down = (first_down * kept * kept + F(4.0) * half_down * kept + last_down) * F(1 / 6)
        counted = spread * (up * more_up * more_up + down * more_down * more_down)
        unbiased = (
            (F(1.0) if spread > F(0.0) else n),
            (F(1.0) if spread > F(0.0) else max(n - F(1.0), F(0.5))),
        )
        out_up, _ = _steps(curves, high, cu, cd, scale, origin)
        _, out_down = _steps(curves, low, cu, cd, scale, origin)
        end = ended(
            start, v, up, down, n, relax, last_up + last_down, noise_up, noise_down, counted, unbiased, (out_up, out_down),
            high, low, kappa, f[XI + e], mix(np.uint32(ids[e] + EDGE), key),
        )  # fmt: skip
        f[END + e] = end if f[ALL + e] > F(0.0) else start
    for e in range(SIZE):
        f[V + e] = f[END + e]
