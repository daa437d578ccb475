# mypy: ignore-errors
"""Pulses one after the other: the level ``pulse`` of affine devices, and known numbers of pulses.

See ``cpu.kernels.pulse`` for how groups of samples are taken together, and when a device goes pulse by pulse.
"""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.bits import key_of, line_key, mix, normal_pair, popcount
from crossweep.engine.cuda.kernels.counts import some_lines
from crossweep.engine.cuda.kernels.numbers import of_instance
from crossweep.engine.cuda.kernels.respond import (
    AFFINE,
    MODERATE,
    SHAPE,
    load_steps,
    one_pulse,
    phi_moderate,
)

_GROUP = tl.constexpr(6)  # pieces whose noise is added together
_TOGETHER = tl.constexpr(64)  # pieces after which groups begin anew
_REACH = tl.constexpr(5.0)
_COARSE = tl.constexpr(0.01)
_GROWTH = tl.constexpr(2.33)


@triton.jit
def device_normals(i, j, columns, key):
    """A standard normal number for each device: those sixteen rows apart in a block of 32 share a pair."""
    second = (i & 31) >= 16
    row = tl.where(second, i - 16, i)
    a, b = normal_pair((2 * (row[:, None] * columns + j[None, :])).to(tl.uint32), key)
    return tl.where(second[:, None], b, a)


@triton.jit
def device_pairs(i, j, columns, key):
    """Two standard normal numbers for each device."""
    return normal_pair((2 * (i[:, None] * columns + j[None, :])).to(tl.uint32), key)


@triton.jit
def _piece(
    words, own, pieces, c, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x,
    PIECES: tl.constexpr, SIGNED: tl.constexpr,
):  # fmt: skip
    """Counts of one piece, and which devices it pulses upwards."""
    s, piece = tl.load(pieces[0] + c), tl.load(pieces[1] + c)
    at, sign_at = (own * PIECES + piece) * b + s, own * b + s
    sees = in_columns & (since <= s) & (s < until)
    x, x_sign = some_lines(words[2], words[3], at * columns + j, sign_at * columns + j, sees, SIGNED)
    d, d_sign = some_lines(words[0], words[1], at * rows + i, sign_at * rows + i, in_rows, SIGNED)
    ups = ((d_sign ^ flip_d)[:, None] ^ (x_sign ^ flip_x)[None, :]) != 0
    return popcount(d[:, None] & x[None, :]), ups


@triton.jit
def run_pieces(
    v, words, own, pieces, many, slots, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x, steps,
    cells, shape, low_key, high_key, PIECES: tl.constexpr, SIGNED: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """States of a block after all pulses that its columns see, in order, and the number of pulses of each device.

    Args:
        v: states [R, C].
        pieces: sample and piece within it, of all pieces in order; two lists [pieces] (int32).
        many: number of pieces.
        slots: first slot of each sample [b + 1].
        steps: the devices, as ``load_steps``.
        cells: the same, as ``load_cells``.
        low_key, high_key: halves of the key of the noise.
    """
    sigma, relative = shape[0], shape[1] > 0
    coarse_from = tl.where(relative & (sigma > 0), _COARSE, float("inf"))
    cu, cd, ru, rd, high, low = cells
    given = tl.zeros((R, C), tl.float32)
    start_of, end_of = tl.min(since, 0), tl.max(until, 0)
    steepest = tl.maximum(tl.abs(ru), tl.abs(rd))
    lane = mix((2 * (i[:, None] * columns + j[None, :])).to(tl.uint32), low_key)
    for block in range(0, many, _TOGETHER):
        for begin in range(block, tl.minimum(block + _TOGETHER, many), _GROUP):
            stop = tl.minimum(tl.minimum(begin + _GROUP, block + _TOGETHER), many)
            if (tl.load(pieces[0] + begin) < end_of) & (tl.load(pieces[0] + stop - 1) >= start_of):
                end, var, n = v, tl.zeros((R, C), tl.float32), tl.zeros((R, C), tl.float32)
                for c in range(begin, stop):
                    count, up = _piece(
                        words, own, pieces, c, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x,
                        PIECES, SIGNED,
                    )  # fmt: skip
                    m = count.to(tl.float32)
                    drive, rate = tl.where(up, cu, -cd), tl.where(up, ru, rd)
                    x = m * rate
                    once = phi_moderate(x)
                    keep, times = 1.0 - x * once, m * once
                    moved = end * keep + times * drive
                    square = tl.where(up, steps[0] * steps[0], steps[1] * steps[1]) * (sigma * sigma)
                    step = (drive - rate * 0.5 * (end + moved)) * (1.0 - 0.5 * rate)
                    square = tl.where(relative, sigma * sigma * step * step, square)
                    two = times * (0.5 + 0.5 * keep) * (1.0 + rate)
                    var, end, n = var * keep * keep + square * two, moved, n + m
                own_key = line_key(low_key, high_key, tl.full((), 0, tl.uint32) + begin)
                xi = tl.zeros((R, C), tl.float32)
                if sigma > 0:
                    xi = device_normals(i, j, columns, own_key)
                std = tl.sqrt(tl.maximum(var, 0.0))
                longest, often = tl.maximum(tl.abs(cu - ru * v), tl.abs(cd + rd * v)), n * steepest
                reach = n * longest * (often * _GROWTH + 1.0) + std * _REACH
                coarse = (steepest > coarse_from) | (often > MODERATE)
                hard = ((v + reach > high) | (v - reach < low) | coarse) & (n > 0)
                walked = v
                if tl.max(hard.to(tl.int32)) > 0:
                    for c in range(begin, stop):
                        count, up = _piece(
                            words, own, pieces, c, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d,
                            flip_x, PIECES, SIGNED,
                        )  # fmt: skip
                        count = tl.where(hard, count, 0)
                        place = tl.load(slots + tl.load(pieces[0] + c)) + 32 * tl.load(pieces[1] + c)
                        for t in range(0, tl.max(count), 2):
                            one, other = normal_pair(lane * 0 + (2 * (place + t)).to(tl.uint32), lane)
                            once = one_pulse(walked, up, steps, shape, words[0], 2, one, AFFINE)
                            twice = one_pulse(once, up, steps, shape, words[0], 2, other, AFFINE)
                            walked = tl.where(t + 1 < count, twice, tl.where(t < count, once, walked))
                v = tl.where(hard, walked, end + std * xi)
                given += n
    return v, given


@triton.jit(do_not_specialize=["chosen"])
def give_known(
    v, w, reference, counts, columns_of, device, shape, keys, rows, columns, chosen, R: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """Known numbers of pulses, positive up, of the chosen columns of affine devices, in place.

    Args:
        v: states [instances, rows, columns].
        w: visible weights, likewise.
        reference: likewise.
        counts: [instances, rows, chosen].
        columns_of: the chosen columns [chosen] (int32).
        device: six matrices like ``v``.
        shape: see ``respond``.
        keys: [instances, 2].
    """
    k = tl.program_id(2)
    shape = of_instance(shape, k, SHAPE)
    i, q = tl.program_id(1) * R + tl.arange(0, R), tl.program_id(0) * C + tl.arange(0, C)
    inside = (i < rows)[:, None] & (q < chosen)[None, :]
    j = tl.load(columns_of + q, mask=q < chosen, other=0)
    wanted = tl.load(
        counts + (k.to(tl.int64) * rows + i[:, None]) * chosen + q[None, :], mask=inside, other=0.0
    )
    most = tl.max(tl.abs(wanted)).to(tl.int32)
    if most > 0:
        some = inside & (wanted != 0)
        place = (k.to(tl.int64) * rows + i[:, None]) * columns + j[None, :]
        steps = load_steps(device, place, some)
        low, high = key_of(keys, k)
        lane = mix(j.to(tl.uint32)[None, :], line_key(low, high, i)[:, None])
        state, size, up = tl.load(v + place, mask=some, other=0.0), tl.abs(wanted), wanted > 0
        for t in range(0, most):
            xi, _ = normal_pair(lane * 0 + 2 * t, lane)
            state = tl.where(t < size, one_pulse(state, up, steps, shape, v, 2, xi, AFFINE), state)
        xi, _ = normal_pair(lane * 0 + 0x80000000, lane)
        shown = state - tl.load(reference + place, mask=some, other=0.0) + shape[2] * xi
        tl.store(v + place, state, mask=some)
        tl.store(w + place, shown, mask=some)


@triton.jit
def show(v, reference, w, touched, spread, keys, rows, columns, R: tl.constexpr, C: tl.constexpr):
    """Visible weights of the devices that were pulsed, with write noise ``spread``, in place; the others keep theirs.

    All [instances, rows, columns]; ``keys`` [instances, 2]; ``spread`` one number, see ``numbers``.
    """
    k = tl.program_id(2)
    spread = of_instance(spread, k, 1)
    i, j = tl.program_id(1) * R + tl.arange(0, R), tl.program_id(0) * C + tl.arange(0, C)
    inside = (i < rows)[:, None] & (j < columns)[None, :]
    place = (k.to(tl.int64) * rows + i[:, None]) * columns + j[None, :]
    low, high = key_of(keys, k)
    xi, _ = normal_pair((2 * j).to(tl.uint32)[None, :], line_key(low, high, i)[:, None])
    some = inside & (tl.load(touched + place, mask=inside, other=0.0) > 0)
    state, base = tl.load(v + place, mask=some, other=0.0), tl.load(reference + place, mask=some, other=0.0)
    tl.store(w + place, state - base + spread[0] * xi, mask=some)


@triton.jit(do_not_specialize=["b"])
def count_single(
    single, wide, out, b, n, m, PIECES: tl.constexpr, SIGNED: tl.constexpr, LINES: tl.constexpr
):  # fmt: skip
    """Coincidences of a single line with every line of the other side, sample by sample.

    Args:
        single: words [instances, PIECES, b, n], of which the first line.
        wide: words [instances, PIECES, b, m].
        out: out [instances, b, m] (float32).
    """
    s, block, k = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    line = block * LINES + tl.arange(0, LINES)
    total = tl.zeros((LINES,), tl.int32)
    for piece in tl.static_range(PIECES):
        at = (k.to(tl.int64) * PIECES + piece) * b + s
        one = tl.load(single + at * n)
        other = tl.load(wide + at * m + line, mask=line < m, other=0)
        both = one & other
        if SIGNED:
            both = both & 0x7FFFFFFF
        total += popcount(both)
    tl.store(out + (k.to(tl.int64) * b + s) * m + line, total.to(tl.float32), mask=line < m)
