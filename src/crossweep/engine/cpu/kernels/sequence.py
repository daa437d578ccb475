# mypy: ignore-errors
"""One pulse of an affine device, and known numbers of pulses."""

import numpy as np

from crossweep.engine.cpu.kernels.bits import line_key, mix
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import normal

F = np.float32


@inline
def one_pulse(v, up, su, sd, mu, md, high, low, sigma, relative, xi):
    """The state after one pulse."""
    step = su + mu * v if up else sd + md * v
    base = step if relative else (su if up else sd)
    change = step + sigma * base * xi
    moved = v + change if up else v - change
    return F(min(max(moved, low), high))


@kernel
def give_rows(v, w, r, counts, columns, su, sd, mu, md, high, low, scalars, write, key, first_row, last_row):
    """Give devices a known number of pulses, one after the other.

    Args:
        v: in and out, states [rows, n].
        w: in and out, visible weights [rows, n].
        r: references [rows, n].
        counts: pulses, positive up [rows, chosen columns].
        columns: the chosen columns.
        su, sd, mu, md, high, low: the devices [rows, n].
        scalars: as ``scalars.Scalars``.
        write: standard deviation of the write noise [w].
        key: 63-bit key.
        first_row: first row.
        last_row: one past the last row.
    """
    sigma, relative = scalars.noise, scalars.relative > F(0.0)
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
                state = one_pulse(
                    state,
                    up,
                    su[i, j],
                    sd[i, j],
                    mu[i, j],
                    md[i, j],
                    high[i, j],
                    low[i, j],
                    sigma,
                    relative,
                    xi,
                )
            v[i, j] = state
            xi = normal(np.uint32(0x80000000), lane) if write > F(0.0) else F(0.0)
            w[i, j] = state - r[i, j] + write * xi
