# mypy: ignore-errors
"""Pulses that a block of devices gets between two slots of a mini-batch, counted where they are needed: windows that are
cut into parts, and pulsed updates, whose segments follow from the data."""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.bits import popcount
from crossweep.engine.cuda.kernels.counts import some_lines


@triton.jit
def _below(k):
    """A word with its lowest ``k`` bits set; ``k`` may lie outside 0..32."""
    k = tl.minimum(tl.maximum(k, 0), 32)
    return ((tl.full((), 1, tl.int64) << k) - 1).to(tl.int32)


@triton.jit
def count_slots(
    words, own, slots, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x, start, stop, begin, end,
    PIECES: tl.constexpr, SIGNED: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Ups and all pulses between the slots ``begin`` and ``end`` [R, C] (float32).

    Args:
        words: of rows, their signs, of columns, their signs; see ``counts.count_windows``.
        own: which of the drawn.
        slots: first slot of each sample and the end, of the drawn [b + 1].
        b: samples.
        since: first sample each column sees.
        until: one past the last one.
        flip_d: all bits set for rows whose sign is turned.
        flip_x: the same of the columns.
        start: first sample that may hold such a slot.
        stop: one past the last one.
    """
    total, ups = tl.zeros((R, C), tl.int32), tl.zeros((R, C), tl.int32)
    for s in range(start, stop):
        first = tl.load(slots + s)
        sees = in_columns & (since <= s) & (s < until)
        for piece in tl.static_range(PIECES):
            slot = first + 32 * piece
            mask = _below(end - slot) & ~_below(begin - slot)
            at, sign_at = (own * PIECES + piece) * b + s, own * b + s
            x, x_sign = some_lines(words[2], words[3], at * columns + j, sign_at * columns + j, sees, SIGNED)
            d, d_sign = some_lines(words[0], words[1], at * rows + i, sign_at * rows + i, in_rows, SIGNED)
            c = popcount(d[:, None] & (x & mask)[None, :])
            total += c
            ups += c & ((d_sign ^ flip_d)[:, None] ^ (x_sign ^ flip_x)[None, :])
    return ups.to(tl.float32), total.to(tl.float32)


@triton.jit
def expect_samples(
    words, own, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x, begin, end,
    R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Expected ups and pulses of the samples ``begin`` to ``end``; arguments as ``count_slots``."""
    net, total = tl.zeros((R, C), tl.float32), tl.zeros((R, C), tl.float32)
    for s in range(begin, end):
        sees = in_columns & (since <= s) & (s < until)
        x = tl.load(words[2] + (own * b + s) * columns + j, mask=sees, other=0.0)
        d = tl.load(words[0] + (own * b + s) * rows + i, mask=in_rows, other=0.0)
        net += d[:, None] * x[None, :]
        total += tl.abs(d)[:, None] * tl.abs(x)[None, :]
    turned = (flip_d[:, None] ^ flip_x[None, :]) != 0
    return 0.5 * (total - tl.where(turned, -net, net)), total
