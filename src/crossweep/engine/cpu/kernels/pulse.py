# mypy: ignore-errors
"""The ``pulse`` level: every sample in order, every pulse.

All pulses of one sample have the same direction, so for affine devices ``n`` of them are one closed step, exactly: an
affine step ``n`` times is affine again. The noise of a group of samples is added at its end as one normal number with the
variance that the single ones have together: for noise that does not depend on the state the distribution is exactly that
of single draws, as long as no bound is within reach. Where one is (of all pulses of the group in one direction, and
``_REACH`` standard deviations), or where the noise follows the state and steps are coarse, or where a group takes a device
far, the device goes through the group pulse by pulse, with noise and bounds at each. So do all devices of other responses.
"""

import numpy as np

from crossweep.engine.cpu.blocks import LANES, ROWS, SIZE, STRIDE
from crossweep.engine.cpu.kernels.affine import MODERATE, load_devices, phi_moderate
from crossweep.engine.cpu.kernels.bits import line_key, mix, popcount, square_root
from crossweep.engine.cpu.kernels.block import (
    CD,
    CHOSEN,
    CU,
    END,
    GIVEN,
    HARD,
    HIGH,
    LOW,
    NEAR,
    RD,
    RELAX,
    RU,
    XI,
    V,
    choose,
    load,
    normals,
    number,
    scratch,
    store,
)
from crossweep.engine.cpu.kernels.draw import piece
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.scalars import AFFINE
from crossweep.engine.cpu.kernels.together import COUNT, STATE, UPWARDS, bring, two_more

F = np.float32
PIECE = 32  # slots of a sample that are looked at together
_PIECES = 64  # pieces that are loaded together
_GROUP = 6  # pieces whose noise is added together
_REACH = F(5.0)
_COARSE = F(0.01)
_GROWTH = F(2.33)  # (exp(MODERATE) - 1) / MODERATE
# places: variance of one pulse up and down, if it does not follow the state; that of the path; pulses before it
_VAR, _BEFORE, _SQUARE_UP, _SQUARE_DOWN = RELAX, NEAR + STRIDE, NEAR + 2 * STRIDE, NEAR + 3 * STRIDE


@kernel
def room_for_pieces():
    """Scratch arrays of ``run_block``: pulses and signs of its columns and of its rows."""
    return (
        np.empty(_PIECES * LANES, np.uint32),
        np.empty(_PIECES * LANES, np.uint32),
        np.empty(_PIECES * ROWS, np.uint32),
        np.empty(_PIECES * ROWS, np.uint32),
    )


@kernel
def load_to_run(f, device, scalars, row, first):
    """Bring a block's affine devices to their places, and the variance of one pulse of each."""
    if scalars.kind != AFFINE:
        return
    noise = scalars.noise * scalars.noise
    load_devices(f, device, row, first)
    load(f, _SQUARE_UP, device[0], row, first, F(0.0))
    load(f, _SQUARE_DOWN, device[1], row, first, F(0.0))
    for e in range(SIZE):
        f[_SQUARE_UP + e] *= noise * f[_SQUARE_UP + e]
        f[_SQUARE_DOWN + e] *= noise * f[_SQUARE_DOWN + e]


@kernel
def _load_pieces(pulses, signs, turn, begins, lengths, start, stop, first, width, out, negative):
    """Slots of the lines ``first`` to ``first + width`` in the pieces ``start`` to ``stop``, and whether their sign is
    negative, line by line of each piece."""
    for c in range(start, stop):
        w, shift = begins[c] >> 6, np.uint64(begins[c] & 63)
        mask = (np.uint64(1) << np.uint64(lengths[c])) - np.uint64(1)
        at = (c - start) * width
        for j in range(width):
            out[at + j] = piece(pulses, w, first + j, shift, mask)
            one = np.uint32((signs[w, first + j] >> shift) & np.uint64(1))
            negative[at + j] = one ^ np.uint32(turn[first + j])


@inline
def _advance(f, cols, col_signs, rows, row_signs, begin, end, noise, relative):
    for c in range(begin, end):  # the outer loop, so that neighbouring turns do not wait for one another
        for i in range(ROWS):
            a, b, base = rows[c * ROWS + i], row_signs[c * ROWS + i], i * LANES
            if a == np.uint32(0):
                continue
            for j in range(LANES):
                e = base + j
                n = F(np.int32(popcount(np.uint32(a & cols[c * LANES + j]))))
                up = np.uint32(b ^ col_signs[c * LANES + j]) != np.uint32(0)
                v, var, given = f[END + e], f[_VAR + e], f[GIVEN + e]
                cu, cd, ru, rd = f[CU + e], f[CD + e], f[RU + e], f[RD + e]
                square_up, square_down = f[_SQUARE_UP + e], f[_SQUARE_DOWN + e]
                drive, rate = cu if up else -cd, ru if up else rd
                x = n * rate
                once = phi_moderate(x)
                keep, times = F(1.0) - x * once, n * once
                moved = v * keep + times * drive
                square = square_up if up else square_down
                if relative:
                    step = (drive - rate * F(0.5) * (v + moved)) * (F(1.0) - F(0.5) * rate)
                    square = noise * step * step
                two = times * (F(0.5) + F(0.5) * keep) * (F(1.0) + rate)
                f[_VAR + e] = var * keep * keep + square * two
                f[END + e] = moved
                f[GIVEN + e] = given + n


@kernel
def _path(f, cols, col_signs, rows, row_signs, begin, end, noise, relative):
    """Mean path of a block through a group of pieces, if there were no bounds, and the variance of the noise along it."""
    if relative:
        _advance(f, cols, col_signs, rows, row_signs, begin, end, noise, True)
    else:
        _advance(f, cols, col_signs, rows, row_signs, begin, end, noise, False)


@kernel
def _settle(f, sigma, relative):
    """Take the path's end with its noise, where no bound can have been met. For how many devices it can."""
    hard = np.int32(0)
    for e in range(SIZE):
        v, end, xi, n = f[V + e], f[END + e], f[XI + e], f[GIVEN + e] - f[_BEFORE + e]
        high, low, cu, cd, ru, rd = f[HIGH + e], f[LOW + e], f[CU + e], f[CD + e], f[RU + e], f[RD + e]
        std, steepest = square_root(f[_VAR + e]), max(abs(ru), abs(rd))
        # a path of n steps, the first of which is at most s long, ends within n s exp(n rate); here n rate < MODERATE
        first, many = max(abs(cu - ru * v), abs(cd + rd * v)), n * steepest
        reach = n * first * (F(1.0) + _GROWTH * many) + _REACH * std
        coarse = (relative & (sigma > F(0.0)) & (steepest > _COARSE)) | (many > MODERATE)
        bad = ((v + reach > high) | (v - reach < low) | coarse) & (n > F(0.0))
        f[HARD + e] = F(1.0) if bad else F(0.0)
        f[V + e] = v if bad else end + std * xi
        hard = np.int32(hard + np.int32(F(1.0) if bad else F(0.0)))
    return hard


@kernel
def _walk(
    f,
    ids,
    hard,
    device,
    cols,
    col_signs,
    rows,
    row_signs,
    begins,
    start,
    begin,
    end,
    row,
    first,
    scalars,
    key,
):
    """The ``hard`` devices through a group of pieces, pulse by pulse, a register of devices at a time."""
    choose(f, ids)
    for some in range(0, hard, LANES):
        width = min(LANES, hard - some)
        for k in range(width):
            e = np.int64(ids[CHOSEN + some + k])
            i, j = row + e // LANES, first + e % LANES
            bring(f, ids, k, f[V + e], device, i, j, mix(ids[e], key))
        for c in range(begin, end):
            for k in range(LANES):
                f[COUNT + k] = F(0.0)
            most = np.int64(0)
            for k in range(width):
                e = np.int64(ids[CHOSEN + some + k])
                i, j = e // LANES, e % LANES
                count = np.int64(popcount(np.uint32(rows[c * ROWS + i] & cols[c * LANES + j])))
                up = np.uint32(row_signs[c * ROWS + i] ^ col_signs[c * LANES + j]) != np.uint32(0)
                f[COUNT + k], f[UPWARDS + k] = F(count), F(1.0) if up else F(0.0)
                most = max(most, count)
            for t in range(0, most, 2):
                two_more(f, ids, np.uint32(2 * (begins[start + c] + t)), F(t), scalars)
        for k in range(width):
            f[V + np.int64(ids[CHOSEN + some + k])] = f[STATE + k]


@kernel
def _pulsed(f, cols, rows, begin, end):
    """Count the pulses of a group of pieces; how many devices get any, with ``HARD`` 1."""
    hard = np.int32(0)
    for i in range(ROWS):
        for j in range(LANES):
            total = np.int32(0)
            for c in range(begin, end):
                total += np.int32(popcount(np.uint32(rows[c * ROWS + i] & cols[c * LANES + j])))
            e = i * LANES + j
            f[GIVEN + e] += F(total)
            f[HARD + e] = F(1.0) if total > 0 else F(0.0)
            hard += np.int32(1) if total > 0 else np.int32(0)
    return hard


@kernel
def run_block(f, ids, room, trains, pieces, since, until, turn_x, turn_d, device, scalars, key, row, first):
    """A block through all pulses that its columns see, in order; ``load_to_run`` has brought it, ``GIVEN`` counts them.

    Args:
        f: the block.
        ids: numbers of its devices.
        room: of ``room_for_pieces``.
        trains: pulses and signs of the rows [words, rows], pulses and signs of the columns [words, n], in whole blocks.
        pieces: first slot of each, and its slots, ``PIECE`` at most; a piece belongs to one sample [pieces].
        since: first slot each column sees.
        until: one past the last slot each column sees.
        turn_x: columns whose sign is turned.
        turn_d: rows whose sign is turned.
        device: steps, slopes and bounds, as ``load_devices``.
        scalars: as ``scalars.Scalars``.
        key: 63-bit key.
        row: first row.
        first: first column.
    """
    d, e, x, s = trains
    begins, lengths = pieces
    cols, col_signs, rows, row_signs = room
    sigma, relative, n = scalars.noise, scalars.relative > F(0.0), device[0].shape[1]
    stop = min(first + LANES, n)
    earliest, latest = since[first:stop].min(), until[first:stop].max()
    for start in range(0, begins.shape[0], _PIECES):
        size = min(_PIECES, begins.shape[0] - start)
        if begins[start] >= latest or begins[start + size - 1] < earliest:
            continue
        _load_pieces(x, s, turn_x, begins, lengths, start, start + size, first, LANES, cols, col_signs)
        _load_pieces(d, e, turn_d, begins, lengths, start, start + size, row, ROWS, rows, row_signs)
        for c in range(size):
            for j in range(LANES):
                sees = since[first + j] <= begins[start + c] < until[first + j]
                cols[c * LANES + j] = cols[c * LANES + j] if sees else np.uint32(0)
        for begin in range(0, size, _GROUP):
            end = min(begin + _GROUP, size)
            if begins[start + begin] >= latest or begins[start + end - 1] < earliest:
                continue
            if scalars.kind == AFFINE:
                for k in range(SIZE):
                    f[END + k], f[_VAR + k], f[_BEFORE + k] = f[V + k], F(0.0), f[GIVEN + k]
                _path(f, cols, col_signs, rows, row_signs, begin, end, F(sigma * sigma), relative)
                if sigma > F(0.0):
                    normals(f, ids, line_key(key, start + begin))
                hard = _settle(f, sigma, relative)
            else:
                hard = _pulsed(f, cols, rows, begin, end)
            if hard > 0:
                _walk(
                    f, ids, hard, device, cols, col_signs, rows, row_signs, begins, start, begin, end, row, first,
                    scalars, key,
                )  # fmt: skip


@kernel
def pulse_blocks(trains, seen, pieces, v, given, device, scalars, key, top, bottom):
    """Run all pulses of the block rows ``top`` to ``bottom`` in order, in place.

    Args:
        trains: as ``run_block``.
        seen: as ``update.update_blocks``.
        pieces: as ``run_block``.
        v: in and out, states [rows, n].
        given: in and out, pulses of each device [rows, n].
        device: steps, slopes and bounds, as ``load_devices``.
        scalars: as ``scalars.Scalars``.
        key: 63-bit key.
        top: first row of blocks.
        bottom: one past the last.
    """
    since, until, turn_x, turn_d = seen
    n = v.shape[1]
    f, ids, _ = scratch()
    room = room_for_pieces()
    for block in range(top, bottom):
        row = block * ROWS
        for first in range(0, n, LANES):
            stop = min(first + LANES, n)
            if since[first:stop].min() >= until[first:stop].max():
                continue
            load_to_run(f, device, scalars, row, first)
            load(f, V, v, row, first, F(0.0))
            load(f, GIVEN, given, row, first, F(0.0))
            number(ids, row, first, n)
            run_block(
                f, ids, room, trains, pieces, since, until, turn_x, turn_d, device, scalars, key, row, first
            )
            store(f, V, v, row, first)
            store(f, GIVEN, given, row, first)
