# mypy: ignore-errors
"""One pulsed update of a crossbar of affine devices: coincidences and response, block by block in the cache."""

import numpy as np

from crossweep.engine.cpu.blocks import LANES, ROWS, SIZE
from crossweep.engine.cpu.kernels.bits import line_key
from crossweep.engine.cpu.kernels.block import (
    ALL,
    GIVEN,
    UP,
    V,
    load,
    load_spread,
    normals,
    number,
    scratch,
    store,
)
from crossweep.engine.cpu.kernels.counters import block_counts, count_tall, room_for_counts, room_to_count
from crossweep.engine.cpu.kernels.jit import kernel
from crossweep.engine.cpu.kernels.maths import normal
from crossweep.engine.cpu.kernels.respond import load_cells, move

F = np.float32


@kernel
def update_blocks(lines, squares, seen, edges, v, given, device, scalars, key, start, stop):
    """Update the column blocks ``start`` to ``stop`` in place.

    Args:
        lines: as ``pulses_of``.
        squares: of rows and columns, as ``load_spread``; empty where counts are known.
        seen: first slot each column sees, one past the last, columns turned, rows turned.
        edges: slots between which devices respond in one go [segments + 1].
        v: in and out, states [rows, n].
        given: in and out, pulses of each device [rows, n].
        device: steps, slopes and bounds, as ``load_devices``; or as ``load_shapes``.
        scalars: as ``scalars.Scalars``.
        key: 63-bit key.
        start: first column block.
        stop: one past the last.
    """
    since, until, turn_x, turn_d = seen
    (rows, n), segments, tall = v.shape, edges.shape[0] - 1, lines[6].shape[0] > 0
    f, ids, room = scratch()
    counters, counts = room_to_count(tall), room_for_counts(rows, segments, tall)
    for column in range(start, stop):
        first = column * LANES
        earliest, latest = (
            since[first : min(first + LANES, n)].min(),
            until[first : min(first + LANES, n)].max(),
        )
        for base in range(0, segments, counts.shape[0]):
            end_of_these = min(base + counts.shape[0], segments)
            if tall:
                for k in range(base, end_of_these):
                    begin, end = max(edges[k], earliest), min(edges[k + 1], latest)
                    count_tall(
                        lines, since, until, turn_x, turn_d, first, begin, end, counters, counts[k - base]
                    )
            for row in range(0, rows, ROWS):
                loaded = False
                load(f, V, v, row, first, F(0.0))
                load(f, GIVEN, given, row, first, F(0.0))
                if squares[0].shape[0] > 0:
                    load_spread(f, squares[0], squares[1], row, first)
                number(ids, row, first, n)
                for k in range(base, end_of_these):
                    begin, end = max(edges[k], earliest), min(edges[k + 1], latest)
                    if begin >= end or not block_counts(
                        f, counts[k - base], lines, since, until, turn_x, turn_d, row, first, begin, end, room
                    ):
                        continue
                    if not loaded:  # many devices of a sparse input are never pulsed
                        load_cells(f, device, scalars, row, first)
                        loaded = True
                    own = line_key(key, k)
                    normals(f, ids, own)
                    move(f, ids, scalars, own)
                    for e in range(SIZE):
                        f[GIVEN + e] += f[ALL + e]
                store(f, V, v, row, first)
                store(f, GIVEN, given, row, first)


@kernel
def count_blocks(lines, seen, begin, end, ups, totals, start, stop):
    """Counts between the slots ``begin`` and ``end`` into ``ups`` and ``totals [rows, n]``; see ``update_blocks``."""
    since, until, turn_x, turn_d = seen
    rows, tall = ups.shape[0], lines[6].shape[0] > 0
    f, _, room = scratch()
    counters, counts = room_to_count(tall), room_for_counts(rows, 1, tall)
    for column in range(start, stop):
        first = column * LANES
        if tall:
            count_tall(lines, since, until, turn_x, turn_d, first, begin, end, counters, counts[0])
        for row in range(0, rows, ROWS):
            block_counts(f, counts[0], lines, since, until, turn_x, turn_d, row, first, begin, end, room)
            store(f, UP, ups, row, first)
            store(f, ALL, totals, row, first)


@kernel
def show_rows(v, r, w, given, spread, key, top, bottom):
    """Visible weights ``w = v - r + spread xi`` of the devices that were pulsed; the others keep theirs."""
    for i in range(top, bottom):
        k = line_key(key, i)
        a, b, c, g = v[i], r[i], w[i], given[i]
        for j in range(c.shape[0]):
            xi = normal(np.uint32(2 * j), k)
            c[j] = a[j] - b[j] + spread * xi if g[j] > F(0.0) else c[j]
