# mypy: ignore-errors
"""Coincidences of pulse words: how often each cross-point was pulsed up and down."""

import numpy as np

from crossweep.tiles.kernels.bits import popcount
from crossweep.tiles.kernels.jit import kernel


@kernel
def count_pair(d, e, first, second, turn, start, x, s, words, width, up, total):
    """Coincidences of two rows with a block of columns; two at a time share what is loaded of the columns.

    Args:
        d: pulses of the rows [all words, rows].
        e: their signs.
        first: one row.
        second: the other.
        turn: rows whose sign is turned.
        start: word of the rows that meets the block's first one.
        x: pulses of the columns [words, columns].
        s: their signs [words, columns].
        words: words of the block; up to the next multiple of four they are looked at, and must be empty
            there.
        width: columns of the block.
        up: out, coincidences of unequal sign [2, columns].
        total: out, all coincidences [2, columns].
    """
    ones = np.uint64(0xFFFFFFFFFFFFFFFF)
    flip, twist = ones if turn[first] else np.uint64(0), ones if turn[second] else np.uint64(0)
    up_a, up_b, all_a, all_b = up[0], up[1], total[0], total[1]
    for j in range(width):
        up_a[j], up_b[j], all_a[j], all_b[j] = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for w in range(0, words, 4):
        k = start + w
        a0, a1, a2, a3 = d[k, first], d[k + 1, first], d[k + 2, first], d[k + 3, first]
        b0, b1, b2, b3 = d[k, second], d[k + 1, second], d[k + 2, second], d[k + 3, second]
        if a0 | a1 | a2 | a3 | b0 | b1 | b2 | b3:
            e0, e1, e2, e3 = (
                e[k, first] ^ flip,
                e[k + 1, first] ^ flip,
                e[k + 2, first] ^ flip,
                e[k + 3, first] ^ flip,
            )
            f0, f1 = e[k, second] ^ twist, e[k + 1, second] ^ twist
            f2, f3 = e[k + 2, second] ^ twist, e[k + 3, second] ^ twist
            x0, x1, x2, x3 = x[w], x[w + 1], x[w + 2], x[w + 3]
            s0, s1, s2, s3 = s[w], s[w + 1], s[w + 2], s[w + 3]
            for j in range(width):
                p0, p1, p2, p3 = x0[j], x1[j], x2[j], x3[j]
                q0, q1, q2, q3 = s0[j], s1[j], s2[j], s3[j]
                c0, c1, c2, c3 = a0 & p0, a1 & p1, a2 & p2, a3 & p3
                all_a[j] += popcount(c0) + popcount(c1) + popcount(c2) + popcount(c3)
                up_a[j] += (
                    popcount(c0 & (e0 ^ q0)) + popcount(c1 & (e1 ^ q1))
                    + popcount(c2 & (e2 ^ q2)) + popcount(c3 & (e3 ^ q3))
                )  # fmt: skip
                c0, c1, c2, c3 = b0 & p0, b1 & p1, b2 & p2, b3 & p3
                all_b[j] += popcount(c0) + popcount(c1) + popcount(c2) + popcount(c3)
                up_b[j] += (
                    popcount(c0 & (f0 ^ q0)) + popcount(c1 & (f1 ^ q1))
                    + popcount(c2 & (f2 ^ q2)) + popcount(c3 & (f3 ^ q3))
                )  # fmt: skip
