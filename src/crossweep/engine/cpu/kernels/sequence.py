# mypy: ignore-errors
"""One pulse, and known numbers of pulses."""

import numpy as np

from crossweep.engine.cpu.kernels.bits import line_key, mix
from crossweep.engine.cpu.kernels.exponential import exponential_pulse
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import normal
from crossweep.engine.cpu.kernels.power import power_pulse
from crossweep.engine.cpu.kernels.scalars import AFFINE, EXPONENTIAL, POWER
from crossweep.engine.cpu.kernels.tabulated import tabulated_pulse

F = np.float32


@inline
def affine_pulse(v, up, su, sd, mu, md, high, low, scalars, xi):
    """The state of an affine device after one pulse."""
    step = su + mu * v if up else sd + md * v
    base = step if scalars.relative > F(0.0) else (su if up else sd)
    change = step + scalars.noise * base * xi
    moved = v + change if up else v - change
    return F(min(max(moved, low), high))


@inline
def any_pulse(v, up, a, b, c, d, high, low, scalars, xi):
    """The state of any device after one pulse; ``a`` to ``d``: what kernels are told of it, see ``updates.Known``."""
    if scalars.kind == AFFINE:
        return affine_pulse(v, up, a, b, c, d, high, low, scalars, xi)
    if scalars.kind == EXPONENTIAL:
        return exponential_pulse(v, up, a, b, c, d, high, low, scalars, xi)
    if scalars.kind == POWER:
        return power_pulse(v, up, a, b, c, d, high, low, scalars, xi)
    return tabulated_pulse(v, up, a, b, c, d, high, low, scalars, xi)


@kernel
def give_rows(v, w, r, counts, columns, a, b, c, d, high, low, scalars, write, key, first_row, last_row):
    """Give devices a known number of pulses, one after the other.

    Args:
        v: in and out, states [rows, n].
        w: in and out, visible weights [rows, n].
        r: references [rows, n].
        counts: pulses, positive up [rows, chosen columns].
        columns: the chosen columns.
        a, b, c, d, high, low: the devices [rows, n].
        scalars: as ``scalars.Scalars``.
        write: standard deviation of the write noise [w].
        key: 63-bit key.
        first_row: first row.
        last_row: one past the last row.
    """
    sigma = scalars.noise
    for i in range(first_row, last_row):
        k = line_key(key, i)
        row = counts[i]
        some = np.int64(0)
        for q in range(row.shape[0]):
            some += np.int64(abs(row[q]))  # whole numbers, so that the sum vectorises
        if some == 0:
            continue
        for q in range(row.shape[0]):
            count = row[q]
            if count == F(0.0):
                continue
            j, up = columns[q], count > F(0.0)
            lane, state = mix(np.uint32(j), k), v[i, j]
            for t in range(np.int64(abs(count))):
                xi = normal(np.uint32(2 * t), lane) if sigma > F(0.0) else F(0.0)
                state = any_pulse(
                    state, up, a[i, j], b[i, j], c[i, j], d[i, j], high[i, j], low[i, j], scalars, xi
                )  # fmt: skip
            v[i, j] = state
            xi = normal(np.uint32(0x80000000), lane) if write > F(0.0) else F(0.0)
            w[i, j] = state - r[i, j] + write * xi
