# mypy: ignore-errors
"""One pulsed update of a crossbar of affine devices: coincidences and response, block by block in the
cache."""

import numpy as np

from crossweep.tiles.kernels.affine import is_gentle, respond
from crossweep.tiles.kernels.bits import line_key
from crossweep.tiles.kernels.count import count_pair
from crossweep.tiles.kernels.jit import inline, kernel
from crossweep.tiles.kernels.maths import normal

F = np.float32
_ROWS, _COLUMNS, _WORDS = 64, 128, 64  # a block of pulse words and counts stays in the second-level cache
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@inline
def _below(k):
    """A word with its lowest ``k`` bits set; ``k`` may lie outside 0..64."""
    k = min(max(k, 0), 64)
    return np.uint64(0) if k == 0 else _ONES >> np.uint64(64 - k)


@kernel
def load_block(x, s, since, until, turn, start, words, first, width, begin, end, pulses, signs):
    """Copy ``words`` words of columns ``first ...`` from ``start`` on, keeping the slots that each column
    sees.

    The words up to the next multiple of four are cleared.
    """
    for w in range(words):
        base = (start + w) << 6
        for j in range(width):
            lo, hi = max(since[first + j], begin) - base, min(until[first + j], end) - base
            mask = _below(hi) & ~_below(lo)
            pulses[w, j] = x[start + w, first + j] & mask
            signs[w, j] = s[start + w, first + j] ^ (_ONES if turn[first + j] else np.uint64(0))
    for w in range(words, (words + 3) & ~3):
        for j in range(width):
            pulses[w, j] = np.uint64(0)


@kernel
def count_block(
    d, e, x, s, since, until, turn_x, turn_d, first, width, row, rows, begin, end, pulses, signs, up, total
):
    """Counts of a block of devices between the slots ``begin`` and ``end``, into ``up`` and ``total`` [rows,
    columns]."""
    pair_up, pair_total = np.empty((2, width), np.uint64), np.empty((2, width), np.uint64)
    up[:rows, :width] = F(0.0)
    total[:rows, :width] = F(0.0)
    last = (end + 63) >> 6
    for start in range(begin >> 6, last, _WORDS):
        words = min(_WORDS, last - start)
        load_block(x, s, since, until, turn_x, start, words, first, width, begin, end, pulses, signs)
        for i in range(0, rows, 2):
            k, other = row + i, min(row + i + 1, row + rows - 1)
            count_pair(d, e, k, other, turn_d, start, pulses, signs, words, width, pair_up, pair_total)
            for half in range(min(2, rows - i)):
                row_up, row_total, u, t = pair_up[half], pair_total[half], up[i + half], total[i + half]
                for j in range(width):
                    u[j] += F(np.int64(row_up[j]))
                    t[j] += F(np.int64(row_total[j]))


@inline
def _respond_row(v, given, su, sd, mu, md, high, low, up, total, width, scalars, counter, key, gentle):
    sigma, relative, kappa = scalars[0], scalars[1], scalars[2]
    for j in range(width):
        n = total[j]
        moved = respond(
            v[j], up[j], max(n, F(1.0)), su[j], sd[j], mu[j], md[j], high[j], low[j], sigma, relative, kappa,
            np.uint32(counter + np.uint32(3) * np.uint32(j)), key, gentle,
        )  # fmt: skip
        v[j] = moved if n > F(0.0) else v[j]
        given[j] += n


@inline
def respond_row(v, given, su, sd, mu, md, high, low, up, total, width, scalars, counter, key):
    """Move ``width`` devices of one row, given by its slices [columns], and note their pulses."""
    steep = 0
    for j in range(width):
        steep += 0 if is_gentle(mu[j], md[j]) else 1
    if steep:
        _respond_row(v, given, su, sd, mu, md, high, low, up, total, width, scalars, counter, key, False)
    else:
        _respond_row(v, given, su, sd, mu, md, high, low, up, total, width, scalars, counter, key, True)


@kernel
def update_rows(
    d,
    e,
    x,
    s,
    since,
    until,
    turn_x,
    turn_d,
    edges,
    v,
    given,
    su,
    sd,
    mu,
    md,
    high,
    low,
    scalars,
    key,
    top,
    bottom,
):
    """Update the rows ``top`` to ``bottom`` in place.

    Args:
        d: pulses of the rows [words, rows].
        e: their signs [words, rows].
        x: pulses of the columns [words, n].
        s: their signs [words, n].
        since: first slot each column sees [n].
        until: one past the last slot each column sees [n].
        turn_x: columns whose sign is turned [n].
        turn_d: rows whose sign is turned [rows].
        edges: slots between which devices respond in one go [segments + 1].
        v: in and out, states [rows, n].
        given: in and out, pulses of each device [rows, n].
        su, sd, mu, md, high, low: the devices (``respond``) [rows, n].
        scalars: noise of a pulse, whether it is relative, kappa.
        key: 63-bit key.
        top: first row.
        bottom: one past the last row.
    """
    n = x.shape[1]
    pulses, signs = np.empty((_WORDS, _COLUMNS), np.uint64), np.empty((_WORDS, _COLUMNS), np.uint64)
    up, total = np.empty((_ROWS, _COLUMNS), np.float32), np.empty((_ROWS, _COLUMNS), np.float32)
    for first in range(0, n, _COLUMNS):
        width = min(_COLUMNS, n - first)
        earliest, latest = since[first : first + width].min(), until[first : first + width].max()
        for row in range(top, bottom, _ROWS):
            rows = min(_ROWS, bottom - row)
            for segment in range(edges.shape[0] - 1):
                begin, end = max(edges[segment], earliest), min(edges[segment + 1], latest)
                if begin >= end:
                    continue
                count_block(
                    d,
                    e,
                    x,
                    s,
                    since,
                    until,
                    turn_x,
                    turn_d,
                    first,
                    width,
                    row,
                    rows,
                    begin,
                    end,
                    pulses,
                    signs,
                    up,
                    total,
                )
                for i in range(rows):
                    k = row + i
                    respond_row(
                        v[k, first:], given[k, first:], su[k, first:], sd[k, first:], mu[k, first:], md[k, first:],
                        high[k, first:], low[k, first:], up[i], total[i], width, scalars,
                        np.uint32(3 * (segment * n + first)), line_key(key, k),
                    )  # fmt: skip


@kernel
def count_rows(d, e, x, s, since, until, turn_x, turn_d, begin, end, ups, totals, top, bottom):
    """Counts between the slots ``begin`` and ``end`` into ``ups`` and ``totals [rows, n]``; see
    ``update_rows``."""
    n = x.shape[1]
    pulses, signs = np.empty((_WORDS, _COLUMNS), np.uint64), np.empty((_WORDS, _COLUMNS), np.uint64)
    up, total = np.empty((_ROWS, _COLUMNS), np.float32), np.empty((_ROWS, _COLUMNS), np.float32)
    for first in range(0, n, _COLUMNS):
        width = min(_COLUMNS, n - first)
        a = max(begin, since[first : first + width].min())
        b = min(end, until[first : first + width].max())
        if a >= b:
            continue
        for row in range(top, bottom, _ROWS):
            rows = min(_ROWS, bottom - row)
            count_block(
                d,
                e,
                x,
                s,
                since,
                until,
                turn_x,
                turn_d,
                first,
                width,
                row,
                rows,
                a,
                b,
                pulses,
                signs,
                up,
                total,
            )
            for i in range(rows):
                for j in range(width):
                    ups[row + i, first + j] = up[i, j]
                    totals[row + i, first + j] = total[i, j]


@kernel
def show_rows(v, r, w, given, spread, key, top, bottom):
    """Visible weights ``w = v - r + spread xi`` of the devices that were pulsed; the others keep theirs."""
    for i in range(top, bottom):
        k = line_key(key, i)
        a, b, c, g = v[i], r[i], w[i], given[i]
        for j in range(c.shape[0]):
            xi = normal(np.uint32(2 * j), k)
            c[j] = a[j] - b[j] + spread * xi if g[j] > F(0.0) else c[j]
