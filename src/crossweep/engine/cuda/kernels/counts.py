# mypy: ignore-errors
"""Coincidences of all windows of a mini-batch at once: the state of devices is not needed to count their pulses.

A window of a column is a range of samples. All slots of a sample share one sign, so one population count per device and
sample gives both sums: all pulses, and those that go up, where the signs of row and column differ.
"""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.bits import popcount

SLOTS = tl.constexpr(0x7FFFFFFF)


@triton.jit
def some_lines(words, signs, place, sign_place, inside, SIGNED: tl.constexpr):
    """Pulses of lines (int32), and all bits set where their value is negative (int32)."""
    word = tl.load(words + place, mask=inside, other=0)
    if SIGNED:
        return word & SLOTS, word >> 31
    else:
        return word, 0 - tl.load(signs + sign_place, mask=inside, other=0).to(tl.int32)


@triton.jit(do_not_specialize=["b", "windows", "first_window", "many_windows"])
def count_windows(
    rows_words, rows_signs, columns_words, columns_signs, words_of, since, until, sign, turn_d, counts,
    b, rows, columns, windows, first_window, many_windows, PIECES: tl.constexpr,
    SIGNED: tl.constexpr, WIDE: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Counts of a block of devices in one window: all pulses in the lower half of a number, ups in the upper one.

    Args:
        rows_words: [drawn, PIECES, b, rows] (int32).
        rows_signs: [drawn, b, rows] (int8), unless ``SIGNED``.
        columns_words: [drawn, PIECES, b, columns].
        columns_signs: [drawn, b, columns].
        words_of: which of the drawn an instance uses [instances] (int32).
        since: first sample each column sees [windows, columns] (int32).
        until: one past the last one.
        sign: choppers of the columns in each window [instances, windows, columns] (float32).
        turn_d: signs of the rows [instances, rows] (float32).
        counts: out [instances, many_windows, rows, columns], int64 if ``WIDE``, else int32.
        first_window: of those that are counted.
    """
    block, m, k = tl.program_id(0), first_window + tl.program_id(1), tl.program_id(2)
    across = tl.cdiv(columns, C)
    i, j = (block // across) * R + tl.arange(0, R), (block % across) * C + tl.arange(0, C)
    in_rows, in_columns = i < rows, j < columns
    own = tl.load(words_of + k).to(tl.int64)
    first = tl.load(since + m * columns + j, mask=in_columns, other=2147483647)
    last = tl.load(until + m * columns + j, mask=in_columns, other=0)
    turned = tl.load(sign + (k * windows + m) * columns + j, mask=in_columns, other=1.0)
    flip_x = 0 - (turned < 0).to(tl.int32)
    turned = tl.load(turn_d + k * rows + i, mask=in_rows, other=1.0)
    flip_d = 0 - (turned < 0).to(tl.int32)
    total, ups = tl.zeros((R, C), tl.int32), tl.zeros((R, C), tl.int32)
    for s in range(tl.min(first, 0), tl.max(last, 0)):
        sees = in_columns & (first <= s) & (s < last)
        for piece in tl.static_range(PIECES):
            at = (own * PIECES + piece) * b + s
            sign_at = own * b + s
            x, x_sign = some_lines(
                columns_words, columns_signs, at * columns + j, sign_at * columns + j, sees, SIGNED
            )
            d, d_sign = some_lines(rows_words, rows_signs, at * rows + i, sign_at * rows + i, in_rows, SIGNED)
            c = popcount(d[:, None] & x[None, :])
            total += c
            ups += c & ((d_sign ^ flip_d)[:, None] ^ (x_sign ^ flip_x)[None, :])
    to = ((k.to(tl.int64) * many_windows + m - first_window) * rows + i[:, None]) * columns + j[None, :]
    inside = in_rows[:, None] & in_columns[None, :]
    if WIDE:
        tl.store(counts + to, total.to(tl.int64) | (ups.to(tl.int64) << 32), mask=inside)
    else:
        tl.store(counts + to, total | (ups << 16), mask=inside)


@triton.jit(do_not_specialize=["b", "windows", "first_window", "many_windows"])
def expect_windows(
    rows_p, columns_p, words_of, since, until, sign, turn_d, counts,
    b, rows, columns, windows, first_window, many_windows,
    S: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Expected counts of a block of devices in one window: ups and all pulses.

    Args:
        rows_p: signed probabilities times slots [drawn, b, rows].
        columns_p: signed probabilities [drawn, b, columns].
        counts: out [2, instances, many_windows, rows, columns]: ups, then all.
        S: samples that are multiplied at once.
        Others as ``count_windows``.
    """
    block, m, k = tl.program_id(0), first_window + tl.program_id(1), tl.program_id(2)
    across = tl.cdiv(columns, C)
    i, j = (block // across) * R + tl.arange(0, R), (block % across) * C + tl.arange(0, C)
    in_rows, in_columns = i < rows, j < columns
    own = tl.load(words_of + k).to(tl.int64) * b
    first = tl.load(since + m * columns + j, mask=in_columns, other=2147483647)
    last = tl.load(until + m * columns + j, mask=in_columns, other=0)
    net, total = tl.zeros((R, C), tl.float32), tl.zeros((R, C), tl.float32)
    stop = tl.max(last, 0)
    for start in range(tl.min(first, 0), stop, S):
        s = start + tl.arange(0, S)
        sees = (s[:, None] >= first[None, :]) & (s[:, None] < last[None, :]) & in_columns[None, :]
        x = tl.load(columns_p + (own + s[:, None]) * columns + j[None, :], mask=sees, other=0.0)
        seen = in_rows[:, None] & (s[None, :] < stop)
        d = tl.load(rows_p + (own + s[None, :]) * rows + i[:, None], mask=seen, other=0.0)
        net = tl.dot(d, x, net, input_precision="tf32x3")
        total = tl.dot(tl.abs(d), tl.abs(x), total, input_precision="tf32x3")
    turned = tl.load(sign + (k * windows + m) * columns + j, mask=in_columns, other=1.0)
    flip = tl.where(tl.load(turn_d + k * rows + i, mask=in_rows, other=1.0) < 0, -1.0, 1.0)
    net = net * flip[:, None] * tl.where(turned < 0, -1.0, 1.0)[None, :]
    many = tl.num_programs(2).to(tl.int64) * many_windows
    to = ((k.to(tl.int64) * many_windows + m - first_window) * rows + i[:, None]) * columns + j[None, :]
    inside = in_rows[:, None] & in_columns[None, :]
    tl.store(counts + to, 0.5 * (total - net), mask=inside)
    tl.store(counts + many * rows * columns + to, total, mask=inside)
