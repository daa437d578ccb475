"""Coincidences of pulse words: how often each cross-point was pulsed up and down."""

import numpy as np
from numba import njit

from crossweep.tiles.kernels.bits import popcount


@njit(nogil=True, cache=True)
def count_row(d, e, turn, start, x, s, words, width, up, total):  # type: ignore[no-untyped-def]
    """Add the coincidences of one row with a block of columns.

    Args:
        d: pulses of the row, all words.
        e: its signs.
        turn: whether the row's sign is turned.
        start: word of the row that meets the block's first one.
        x: pulses of the columns [words, columns].
        s: their signs [words, columns].
        words: words of the block.
        width: columns of the block.
        up: in and out, coincidences of unequal sign [columns].
        total: in and out, all coincidences [columns].
    """
    flip = np.uint64(0xFFFFFFFFFFFFFFFF) if turn else np.uint64(0)
    w = 0
    while w + 4 <= words:
        k = start + w
        d0, d1, d2, d3 = d[k], d[k + 1], d[k + 2], d[k + 3]
        e0, e1, e2, e3 = e[k] ^ flip, e[k + 1] ^ flip, e[k + 2] ^ flip, e[k + 3] ^ flip
        if d0 | d1 | d2 | d3:
            for j in range(width):
                c0, c1, c2, c3 = d0 & x[w, j], d1 & x[w + 1, j], d2 & x[w + 2, j], d3 & x[w + 3, j]
                total[j] += popcount(c0) + popcount(c1) + popcount(c2) + popcount(c3)
                up[j] += (
                    popcount(c0 & (e0 ^ s[w, j]))
                    + popcount(c1 & (e1 ^ s[w + 1, j]))
                    + popcount(c2 & (e2 ^ s[w + 2, j]))
                    + popcount(c3 & (e3 ^ s[w + 3, j]))
                )
        w += 4
    while w < words:
        d0, e0 = d[start + w], e[start + w] ^ flip
        if d0:
            for j in range(width):
                c0 = d0 & x[w, j]
                total[j] += popcount(c0)
                up[j] += popcount(c0 & (e0 ^ s[w, j]))
        w += 1
