# mypy: ignore-errors
"""The digital side of a column read: running means, buffer and threshold, in one pass over the devices."""

import numpy as np

from crossweep.tiles.kernels.jit import kernel

F = np.float32


@kernel
def _plain(value, hidden, sign, gain, gate, scalars, wanted):
    """Buffer and threshold for neighbouring columns of one row; see ``digest_rows``."""
    momentum, forget, longest, cap = scalars[0], scalars[1] > F(0.0), scalars[2], scalars[3]
    keep, limit = F(1.0) - scalars[4], cap if cap > F(0.0) else F(np.inf)
    for q in range(value.shape[0]):
        h = keep * hidden[q] + sign * gain[q] * value[q]
        n = F(np.int32(min(max(h, -longest), longest)))  # truncates
        rest = momentum * h if forget else h - (F(1.0) - momentum) * n
        rest = min(max(rest, -limit), limit)
        hidden[q] = rest if n != F(0.0) else h
        wanted[q] = n * gate[q]


@kernel
def _excess(value, mean, past, fresh, beta, out):
    """What reads exceed their past mean by; the running means move on."""
    for q in range(value.shape[0]):
        m, v = mean[q], value[q]
        p = m if fresh[q] > F(0.0) else past[q]
        past[q] = p
        mean[q] = (F(1.0) - beta) * m + beta * v
        out[q] = v - p


@kernel
def digest_rows(
    value, hidden, mean, past, runs, row_sign, gain, fresh, gate, scalars, wanted, first_row, last_row
):
    """Put reads into the buffer and take from it what passes the threshold.

    Args:
        value: what was read [rows, reads].
        hidden: in and out, buffer H in units of its threshold [rows, n].
        mean: in and out, running mean of the reads [rows, n]; empty if there is none.
        past: in and out, what is subtracted from a read [rows, n]; empty if there is none.
        runs: runs of neighbouring columns: first read, first column, number [runs, 3].
        row_sign: chopper of each row [rows].
        gain: chopper of the column times what one unit of a read adds to H [reads].
        fresh: 1 for columns whose mean becomes their past [reads].
        gate: 1 for columns that may send pulses [reads].
        scalars: share of H that stays, whether the rest is dropped, largest number of pulses, cap of what
            stays (0: none), whether H is forgotten before the read, weight of a read in the running mean.
        wanted: out, pulses wanted [rows, reads].
        first_row: first row.
        last_row: one past the last row.
    """
    excess = np.empty(value.shape[1], np.float32)
    for i in range(first_row, last_row):
        for k in range(runs.shape[0]):
            q, j, size = runs[k]
            read = value[i, q : q + size]
            if mean.shape[0] > 0:
                _excess(
                    read,
                    mean[i, j : j + size],
                    past[i, j : j + size],
                    fresh[q : q + size],
                    scalars[5],
                    excess,
                )
                read = excess[:size]
            _plain(
                read, hidden[i, j : j + size], row_sign[i], gain[q : q + size], gate[q : q + size], scalars,
                wanted[i, q : q + size],
            )  # fmt: skip
