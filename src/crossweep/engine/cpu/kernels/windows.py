# mypy: ignore-errors
# ruff: noqa: PLR0912, PLR0915 (one compiled loop over blocks and windows reads better in one piece)
"""All windows of a mini-batch of the Tiki-Taka family in one call.

Devices do not interact, so a block of devices goes through the whole mini-batch alone: pulses onto A, column read,
buffer, pulse onto C, and again, while its state stays in the cache. Where reads are written by pulse trains, the
largest value of a column decides about all its pulses: then all blocks of a column go through one window after the other.
"""

import numpy as np

from crossweep.engine.cpu.blocks import LANES, ROWS, SIZE
from crossweep.engine.cpu.kernels.bits import line_key, mix
from crossweep.engine.cpu.kernels.block import (
    ALL,
    GIVEN,
    HIDDEN,
    MEAN,
    PAST,
    SECOND,
    SHOWN,
    R,
    V,
    W,
    ask_for,
    clear,
    load,
    load_spread,
    normals,
    number,
    scratch,
    store,
    store_sum,
    two_normals,
)
from crossweep.engine.cpu.kernels.counters import block_counts, count_tall, room_for_counts, room_to_count
from crossweep.engine.cpu.kernels.jit import kernel
from crossweep.engine.cpu.kernels.pulse import load_to_run, room_for_pieces, run_block
from crossweep.engine.cpu.kernels.respond import load_cells, move
from crossweep.engine.cpu.kernels.transfers import (
    SLOW,
    digest_block,
    excess_block,
    factor_block,
    give_block,
    normalise_block,
    pulse_columns,
    read_block,
    smooth_block,
)

F = np.float32
_READ, _TRAIN, _WRITE = np.uint32(0x85EBCA6B), np.uint32(0x27D4EB2F), np.uint32(0x9E3779B1)


@kernel
def tables(slots, since, until, sign, reads, scale, fresh, gate, share, n):
    """A schedule as ``window_blocks`` takes it, from samples to slots and in whole blocks of columns; see
    ``windows.Schedule``."""
    shape = since.shape[0], n
    since_slot, until_slot, turned = (
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.bool_),
    )
    read, gain = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    renewed, open_gate = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    shares = np.zeros(shape, np.float32)
    for m in range(since.shape[0]):
        for j in range(since.shape[1]):
            since_slot[m, j], until_slot[m, j] = slots[since[m, j]], slots[until[m, j]]
            turned[m, j] = sign[m, j] < F(0.0)
            read[m, j], gain[m, j] = F(reads[m, j]), sign[m, j] * scale[m, j]
            renewed[m, j], open_gate[m, j], shares[m, j] = F(fresh[m, j]), gate[m, j], share[m, j]
    return since_slot, until_slot, turned, read, gain, renewed, open_gate, shares


@kernel
def _respond(f, ids, scalars, key):
    """Devices of A after the counted pulses; ``GIVEN`` counts them."""
    if scalars.write > F(0.0):  # a second number for the write noise
        two_normals(f, ids, key)
    else:
        normals(f, ids, key)
    move(f, ids, scalars, key)
    for e in range(SIZE):
        f[GIVEN + e] += f[ALL + e]
    _show(f, scalars.write)


@kernel
def _run(f, ids, room, trains, pieces, since, until, turn_x, turn_d, device, scalars, key, row, first):
    """Devices of A after all pulses in order; ``GIVEN`` counts them."""
    for e in range(SIZE):
        f[ALL + e] = f[GIVEN + e]
    run_block(f, ids, room, trains, pieces, since, until, turn_x, turn_d, device, scalars, key, row, first)
    for e in range(SIZE):
        f[ALL + e] = f[GIVEN + e] - f[ALL + e]
    if scalars.write > F(0.0):
        two_normals(f, ids, mix(_WRITE, line_key(key, 0)))
    _show(f, scalars.write)


@kernel
def _show(f, write):
    """Visible weights; write noise is redrawn where a device was pulsed."""
    if write > F(0.0):
        for e in range(SIZE):
            shown = f[V + e] - f[R + e] + write * f[SHOWN + e]
            f[W + e] = shown if f[ALL + e] > F(0.0) else f[W + e]
    else:
        for e in range(SIZE):
            f[W + e] = f[V + e] - f[R + e]


@kernel
def _stretches(since, until, parts, first, stop):
    """What a block of columns goes through, in order: window, part, first slot, one past the last, and whether the window
    ends there [stretches, 5]."""
    many = 0
    for m in range(since.shape[0]):
        many += max(np.int64(parts[m]), 1)
    out = np.zeros((many, 5), np.int64)
    n = 0
    for m in range(since.shape[0]):
        earliest, latest = since[m, first:stop].min(), until[m, first:stop].max()
        wanted = np.int64(parts[m]) if latest > earliest else np.int64(1)
        for part in range(wanted):
            out[n, 0], out[n, 1] = m, part
            out[n, 2] = earliest + (latest - earliest) * part // wanted
            out[n, 3] = earliest + (latest - earliest) * (part + 1) // wanted
            out[n, 4] = part == wanted - 1
            n += 1
    return out[:n]


@kernel
def window_blocks(
    lines, squares, pieces, turn_d, plan, parts, fast, fast_scalars, io, buffers, factors, threshold, train, by_trains,
    slow, slow_scalars, row_sign, key, hit, start, end,
):  # fmt: skip
    """Run the column blocks ``start`` to ``end``, in place.

    Args:
        lines: as ``block.pulses_of``.
        squares: of rows and columns, as ``block.load_spread``; empty where counts are known.
        pieces: as ``pulse.run_block``, for pulses one after the other; empty where their counts do.
        turn_d: rows whose sign is turned.
        plan: for every window and column: first slot, one past the last slot (int64), whether the sign is turned
            (bool), whether it is read at the end, what a unit of the read adds to H, whether its running mean
            becomes what is subtracted, whether it may send pulses, the read's weight in the mean square (float32)
            [windows, n, in whole blocks].
        parts: in how many parts, of equal slots, devices respond [windows].
        fast: A: state, visible weight, reference, pulses so far [rows, n]; steps, slopes and bounds.
        fast_scalars: as ``scalars.Scalars``.
        io: periphery of the reads and what other lines add to them, as ``read_block``.
        buffers: H, running mean, subtracted mean, mean square [rows, n]; each may be empty.
        factors: as ``factor_block``; may be empty.
        threshold: ``scalars.Threshold``.
        train: ``scalars.Train``.
        by_trains: whether reads are written by pulse trains; else by ``threshold``.
        slow: C, as ``fast`` but in one tuple.
        slow_scalars: as ``fast_scalars``.
        row_sign: chopper of each row, see ``digest_block`` [rows].
        key: 63-bit key.
        hit: out, whether a read of a column sent any pulses [windows, n] (uint8).
        start: first column block.
        end: one past the last.
    """
    since, until, turn_x, reads, gain, fresh, gate, share = plan
    states, device = fast
    hidden, mean, past, second = buffers
    in_order, trains = pieces[0].shape[0] > 0, (lines[0], lines[1], lines[2], lines[3])
    tall, buffered, means = lines[6].shape[0] > 0, hidden.shape[0] > 0, mean.shape[0] > 0
    pasts, normalised, factored = past.shape[0] > 0, second.shape[0] > 0, factors[0].shape[0] > 0
    rows, n = states[0].shape
    f, ids, room = scratch()
    counters, slots = room_to_count(tall), room_for_pieces()
    room_to_write = -(-rows // ROWS) * SIZE if by_trains else 0
    wanted, pulses = np.empty(room_to_write, np.float32), np.empty(room_to_write, np.int32)
    most, floats = np.zeros(LANES, np.uint32), np.empty((3, LANES), np.float32)
    chances = floats[0], floats[1], floats[2], np.empty(room_to_write, np.uint32)
    for column in range(start, end):
        first = column * LANES
        todo = _stretches(since, until, parts, first, min(first + LANES, n))
        counts = room_for_counts(rows, 1 if by_trains else todo.shape[0], tall)
        for base in range(0, todo.shape[0], counts.shape[0]):
            now = todo[base : base + counts.shape[0]]
            most[:] = np.uint32(0)
            some_read = some_slots = False  # without reads buffers need not come into the cache
            for k in range(now.shape[0]):
                some_read |= now[k, 4] == 1 and reads[now[k, 0], first : first + LANES].max() > F(0.0)
                some_slots |= now[k, 2] < now[k, 3]
            if not (some_read or some_slots):
                continue
            if tall:
                for k in range(now.shape[0]):
                    m, begin, end_slot = now[k, 0], now[k, 2], now[k, 3]
                    if begin < end_slot:
                        count_tall(
                            lines, since[m], until[m], turn_x[m], turn_d, first, begin, end_slot, counters, counts[k]
                        )  # fmt: skip
            for row in range(0, rows, ROWS):
                load(f, V, states[0], row, first, F(0.0))
                load(f, W, states[1], row, first, F(0.0))
                load(f, R, states[2], row, first, F(0.0))
                if buffered and some_read:
                    load(f, HIDDEN, hidden, row, first, F(0.0))
                if means and some_read:
                    load(f, MEAN, mean, row, first, F(0.0))
                if pasts and some_read:
                    load(f, PAST, past, row, first, F(0.0))
                if normalised and some_read:
                    load(f, SECOND, second, row, first, F(0.0))
                if squares[0].shape[0] > 0:
                    load_spread(f, squares[0], squares[1], row, first)
                number(ids, row, first, n)
                # those of the mini-batch: beside a long training's total single windows could be lost
                clear(f, GIVEN)
                pulsed = False
                ask_for((*device, *states), row + ROWS, first)
                for k in range(now.shape[0]):
                    m, part, begin, end_slot = now[k, 0], now[k, 1], now[k, 2], now[k, 3]
                    if begin >= end_slot:
                        pass  # nothing but, perhaps, a read
                    elif in_order:
                        if not pulsed:
                            load_to_run(f, device, fast_scalars, row, first)
                        pulsed = True
                        _run(
                            f, ids, slots, trains, pieces, since[m], until[m], turn_x[m], turn_d, device, fast_scalars,
                            key ^ np.int64(line_key(key, m)), row, first,
                        )  # fmt: skip
                    elif block_counts(
                        f,
                        counts[k],
                        lines,
                        since[m],
                        until[m],
                        turn_x[m],
                        turn_d,
                        row,
                        first,
                        begin,
                        end_slot,
                        room,
                    ):
                        if not pulsed:  # many devices of a sparse input never are
                            load_cells(f, device, fast_scalars, row, first)
                        pulsed = True
                        _respond(f, ids, fast_scalars, line_key(key, m * 65536 + part))
                    if now[k, 4] == 0 or reads[m, first : first + LANES].max() <= F(0.0):
                        continue
                    own = line_key(key, m)
                    read_block(f, ids, io[0], io[1], m, row, first, mix(_READ, own))
                    if by_trains:
                        smooth_block(f, reads[m], gain[m], row_sign, train, row, first, wanted, most)
                        continue
                    if means:
                        excess_block(f, reads[m], fresh[m], threshold.past, first)
                    if normalised:
                        normalise_block(f, reads[m], share[m], threshold.floor, first)
                    if factored:
                        factor_block(f, reads[m], factors, threshold.floor, row, first, column)
                    if digest_block(f, reads[m], gain[m], gate[m], row_sign, threshold, row, first):
                        give_block(
                            f, ids, hit[m], slow, slow_scalars, threshold.step, threshold.longest, row, first,
                            mix(SLOW, own),
                        )  # fmt: skip
                if pulsed:
                    store_sum(f, GIVEN, states[3], row, first)
                store(f, V, states[0], row, first)
                store(f, W, states[1], row, first)
                if buffered and some_read:
                    store(f, HIDDEN, hidden, row, first)
                if means and some_read:
                    store(f, MEAN, mean, row, first)
                if pasts and some_read:
                    store(f, PAST, past, row, first)
                if normalised and some_read:
                    store(f, SECOND, second, row, first)
            m = now[0, 0]
            if by_trains and now[0, 4] == 1 and reads[m, first : first + LANES].max() > F(0.0):
                pulse_columns(
                    f, ids, wanted, most, pulses, chances, reads[m], train, hit[m], slow, slow_scalars, first,
                    mix(_TRAIN, line_key(key, m)),
                )  # fmt: skip
