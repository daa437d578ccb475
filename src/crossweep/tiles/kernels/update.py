# mypy: ignore-errors
"""One pulsed update of a crossbar of affine devices: coincidences and response, block by block in the cache."""

import numpy as np

from crossweep.tiles.blocks import LANES, ROWS, SIZE
from crossweep.tiles.kernels.bits import line_key
from crossweep.tiles.kernels.block import (
    ALL,
    GIVEN,
    UP,
    V,
    load,
    load_spread,
    normals,
    number,
    pulses_of,
    scratch,
    store,
)
from crossweep.tiles.kernels.exponential import load_cells, move
from crossweep.tiles.kernels.jit import kernel
from crossweep.tiles.kernels.maths import normal

F = np.float32


@kernel
def update_blocks(lines, squares, seen, edges, v, given, device, scalars, key, top, bottom):
    """Update the block rows ``top`` to ``bottom`` in place.

    Args:
        lines: as ``pulses_of``.
        squares: of rows and columns, as ``load_spread``; empty where counts are known.
        seen: first slot each column sees, one past the last, columns turned, rows turned.
        edges: slots between which devices respond in one go [segments + 1].
        v: in and out, states [rows, n].
        given: in and out, pulses of each device [rows, n].
        device: steps, slopes and bounds, as ``load_devices``; or as ``load_shapes``.
        scalars: as ``compiled.scalars``.
        key: 63-bit key.
        top: first row of blocks.
        bottom: one past the last.
    """
    since, until, turn_x, turn_d = seen
    n = v.shape[1]
    f, ids, room = scratch()
    for block in range(top, bottom):
        row = block * ROWS
        for first in range(0, n, LANES):
            stop = min(first + LANES, n)
            earliest, latest = since[first:stop].min(), until[first:stop].max()
            if earliest >= latest:
                continue
            load_cells(f, device, scalars, row, first)
            load(f, V, v, row, first, F(0.0))
            load(f, GIVEN, given, row, first, F(0.0))
            if squares[0].shape[0] > 0:
                load_spread(f, squares[0], squares[1], row, first)
            number(ids, row, first, n)
            for segment in range(edges.shape[0] - 1):
                begin, end = max(edges[segment], earliest), min(edges[segment + 1], latest)
                if begin >= end or not pulses_of(
                    lines, since, until, turn_x, turn_d, row, first, begin, end, room, f
                ):
                    continue
                own = line_key(key, segment)
                normals(f, ids, own)
                move(f, ids, scalars, own)
                for e in range(SIZE):
                    f[GIVEN + e] += f[ALL + e]
            store(f, V, v, row, first)
            store(f, GIVEN, given, row, first)


@kernel
def count_blocks(lines, seen, begin, end, ups, totals, top, bottom):
    """Counts between the slots ``begin`` and ``end`` into ``ups`` and ``totals [rows, n]``; see ``update_blocks``."""
    since, until, turn_x, turn_d = seen
    f, _, room = scratch()
    for block in range(top, bottom):
        for first in range(0, ups.shape[1], LANES):
            pulses_of(lines, since, until, turn_x, turn_d, block * ROWS, first, begin, end, room, f)
            store(f, UP, ups, block * ROWS, first)
            store(f, ALL, totals, block * ROWS, first)


@kernel
def show_rows(v, r, w, given, spread, key, top, bottom):
    """Visible weights ``w = v - r + spread xi`` of the devices that were pulsed; the others keep theirs."""
    for i in range(top, bottom):
        k = line_key(key, i)
        a, b, c, g = v[i], r[i], w[i], given[i]
        for j in range(c.shape[0]):
            xi = normal(np.uint32(2 * j), k)
            c[j] = a[j] - b[j] + spread * xi if g[j] > F(0.0) else c[j]
