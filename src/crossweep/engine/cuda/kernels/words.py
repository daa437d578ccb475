# mypy: ignore-errors
"""Pulse words: the pulses of one line in one sample, 32 slots to a word, the sign of the line in the highest bit where
trains are short enough to leave it free."""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.bits import key_of, line_key, mix

_FULL = tl.constexpr(
    65536.0
)  # probabilities have 16 bits; the rest is rounded at random once per sample and line
_PLANES_FROM = tl.constexpr(20)  # from so many slots on, bit planes; below, one comparison per slot


@triton.jit
def _planes(limit, keys, counter):
    """32 slots at once, one random word per bit of the probability, lowest first."""
    word = tl.zeros_like(limit)
    for bit in tl.static_range(16):
        random = mix(counter + bit, keys)
        mask = 0 - ((limit >> bit) & 1)
        word = (word & random) | (mask & (word | random))
    return word | (0 - (limit >> 16))


@triton.jit
def _compare(limit, keys, counter, count):
    """Slot by slot: half a random word against the probability."""
    word = tl.zeros_like(limit)
    for pair in range(0, (count + 1) >> 1):
        random = mix(counter + pair, keys)
        low, high = (random & 0xFFFF) < limit, (random >> 16) < limit
        word = word | (low.to(tl.uint32) << (2 * pair)) | (high.to(tl.uint32) << (2 * pair + 1))
    return word


@triton.jit(do_not_specialize=["b"])
def draw_lines(
    values, scale, bl, slots, keys, words, signs, sums, squares, b, n, s_k, s_b, s_n,
    PIECES: tl.constexpr, SIGNED: tl.constexpr, LONG: tl.constexpr, LINES: tl.constexpr,
):  # fmt: skip
    """One sample of some lines: the same bits as ``cpu.kernels.draw.draw_lines``.

    Args:
        values: signed values [instances, b, n], any strides.
        scale: [instances, b].
        bl: slots of each sample [instances, b] (float32).
        slots: first slot of each sample [instances, b + 1] (int32).
        keys: [instances, 2] (int32).
        words: out [instances, PIECES, b, n] (int32).
        signs: out, 1 where the value is negative [instances, b, n] (int8); unused where words are signed.
        sums: out, of the 16-bit probabilities [instances, blocks of lines, b] (int64).
        squares: out, of their upper 8 bits, squared, likewise.
        PIECES: words of a sample.
        SIGNED: whether words carry the sign.
        LONG: whether any sample may have so many slots that bit planes pay.
    """
    sample, block, k = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    line = block * LINES + tl.arange(0, LINES)
    inside = line < n
    here = k.to(tl.int64) * b + sample
    length = tl.load(bl + here).to(tl.int32)
    first = tl.load(slots + k.to(tl.int64) * (b + 1) + sample)
    low, high = key_of(keys, k)
    own = line_key(low, high, line)
    place = k.to(tl.int64) * s_k + sample.to(tl.int64) * s_b + line.to(tl.int64) * s_n
    value = tl.load(values + place, mask=inside, other=0.0)
    counter = (2 * first).to(tl.uint32)
    dither = (mix(counter, own) >> 8).to(tl.int32).to(tl.float32) * (2.0**-24)
    p = tl.minimum(tl.abs(value) * (tl.load(scale + here) * _FULL), _FULL)
    limit = tl.minimum((p + dither).to(tl.int32), 65536).to(tl.uint32)
    limit = tl.where(inside & (length > 0), limit, 0)
    negative = (value < 0).to(tl.uint32)
    top = limit >> 8
    blocks = tl.num_programs(1)
    tl.store(sums + (k.to(tl.int64) * blocks + block) * b + sample, tl.sum(limit.to(tl.int64), 0))
    tl.store(squares + (k.to(tl.int64) * blocks + block) * b + sample, tl.sum((top * top).to(tl.int64), 0))
    for piece in tl.static_range(PIECES):
        count = tl.minimum(length - 32 * piece, 32)
        word = tl.zeros_like(limit)
        if count > 0:
            if LONG:
                if count >= _PLANES_FROM:
                    word = _planes(limit, own, counter + 1)
                    counter += 17
                else:
                    word = _compare(limit, own, counter + 1, count)
                    counter += 1 + ((count + 1) >> 1).to(tl.uint32)
            else:
                word = _compare(limit, own, counter + 1, count)
            spare = tl.minimum(tl.maximum(32 - count, 0), 31).to(tl.uint32)
            word = word & (tl.full((LINES,), 0xFFFFFFFF, tl.uint32) >> spare)
        if SIGNED:
            word = word | (negative << 31)
        to = ((k.to(tl.int64) * PIECES + piece) * b + sample) * n + line
        tl.store(words + to, word.to(tl.int32, bitcast=True), mask=inside)
    if not SIGNED:
        tl.store(signs + here * n + line, negative.to(tl.int8), mask=inside)


@triton.jit(do_not_specialize=["b"])
def expect_lines(
    values, scale, bl, p, sums, squares, b, n, s_k, s_b, s_n, WEIGHTED: tl.constexpr, LINES: tl.constexpr
):  # fmt: skip
    """Signed probabilities of all lines in one sample, and sums over the lines of the probabilities and of their squares.

    Args:
        values: signed values [instances, b, n], any strides.
        scale: [instances, b].
        bl: slots of each sample [instances, b] (float32).
        p: out, signed probabilities, times ``bl`` if ``WEIGHTED`` [instances, b, n].
        sums: out [instances, b].
        squares: out [instances, b].
    """
    sample, k = tl.program_id(0), tl.program_id(1)
    here = k.to(tl.int64) * b + sample
    factor, weight = tl.load(scale + here), 1.0
    if WEIGHTED:
        weight = tl.load(bl + here)
    total, square = 0.0, 0.0
    for start in range(0, n, LINES):
        line = start + tl.arange(0, LINES)
        place = k.to(tl.int64) * s_k + sample.to(tl.int64) * s_b + line.to(tl.int64) * s_n
        value = tl.load(values + place, mask=line < n, other=0.0)
        value = tl.minimum(tl.maximum(value * factor, -1.0), 1.0)
        tl.store(p + here * n + line, weight * value, mask=line < n)
        total += tl.sum(tl.abs(value), 0)
        square += tl.sum(value * value, 0)
    tl.store(sums + here, total)
    tl.store(squares + here, square)
