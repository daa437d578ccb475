# mypy: ignore-errors
"""Pulse words: the 0/1 pulses of many lines, 64 slots to a word, samples packed without gaps."""

import numpy as np

from crossweep.engine.cpu.kernels.bits import line_key, mix, popcount
from crossweep.engine.cpu.kernels.jit import inline, kernel

_FULL = 1 << 16  # probabilities have 16 bits; the rest is rounded at random once per sample and line
_PLANES_FROM = 20  # from so many slots on, bit planes are cheaper than one comparison per slot


@kernel
def draw_lines(values, scale, bl, offset, key, words, signs, sums, squares, first, last):
    """Draw the pulses of lines ``first`` to ``last`` for all samples.

    Args:
        values: signed values [b, n]; the probability of a pulse in a slot is ``min(1, |value| scale)``.
        scale: per sample [b].
        bl: slots of each sample [b].
        offset: first slot of each sample [b].
        key: 63-bit key.
        words: out, pulses [words, n], zero on entry.
        signs: out, 1 where the value is negative [words, n], zero on entry.
        sums: out, sum of the 16-bit probabilities of these lines [b].
        squares: out, sum of the squares of their upper 8 bits [b].
        first: first line.
        last: one past the last line.
    """
    n = last - first
    keys, limit = np.empty(n, np.uint32), np.empty(n, np.uint32)
    negative, chunk = np.empty(n, np.uint32), np.empty(n, np.uint32)
    for j in range(n):
        keys[j] = line_key(key, first + j)
    for b in range(values.shape[0]):
        length = bl[b]
        if length <= 0:
            continue
        counter = np.uint32(2 * offset[b])  # a sample uses at most 16 numbers per 32 slots, plus one
        total, total_squares = np.uint64(0), np.uint64(0)
        factor = scale[b] * np.float32(_FULL)
        for j in range(n):
            value = values[b, first + j]
            dither = np.float32(mix(counter, keys[j]) >> np.uint32(8)) * np.float32(2.0**-24)
            p = min(abs(value) * factor, np.float32(_FULL))
            t = min(np.uint32(np.int32(p + dither)), np.uint32(_FULL))
            limit[j] = t
            negative[j] = np.uint32(0xFFFFFFFF) if value < 0 else np.uint32(0)
            total += np.uint64(t)
            top = t >> np.uint32(8)
            total_squares += np.uint64(top * top)
        sums[b] += total
        squares[b] += total_squares
        for start in range(0, length, 32):
            count = min(32, length - start)
            counter += np.uint32(1)
            if count >= _PLANES_FROM:
                _planes(keys, limit, chunk, counter, n)
                counter += np.uint32(16)
            else:
                _compare(keys, limit, chunk, counter, count, n)
                counter += np.uint32((count + 1) >> 1)
            mask = np.uint32(0xFFFFFFFF) if count == 32 else np.uint32((1 << count) - 1)
            _place(chunk, negative, mask, count, offset[b] + start, words, signs, first, n)


@kernel
def _planes(keys, limit, chunk, counter, n):
    """32 slots of each line at once, one random word per bit of the probability, lowest first."""
    for j in range(n):
        w, t, k = np.uint32(0), limit[j], keys[j]
        for bit in range(16):
            r = mix(np.uint32(counter + np.uint32(bit)), k)
            m = np.uint32(0) - np.uint32((t >> np.uint32(bit)) & np.uint32(1))
            w = np.uint32((w & r) | (m & (w | r)))
        chunk[j] = np.uint32(w | (np.uint32(0) - np.uint32(t >> np.uint32(16))))


@kernel
def _compare(keys, limit, chunk, counter, count, n):
    """Slot by slot: half a random word against the probability."""
    for j in range(n):
        chunk[j] = np.uint32(0)
    for pair in range(0, count, 2):
        c = np.uint32(counter + np.uint32(pair >> 1))
        low, high = np.uint32(1 << pair), np.uint32(1 << (pair + 1))
        for j in range(n):
            r, t = mix(c, keys[j]), limit[j]
            one = low if np.uint32(r & np.uint32(0xFFFF)) < t else np.uint32(0)
            two = high if np.uint32(r >> np.uint32(16)) < t else np.uint32(0)
            chunk[j] = np.uint32(chunk[j] | one | two)


@kernel
def _place(chunk, negative, mask, count, slot, words, signs, first, n):
    """Write ``count`` slots of each line from position ``slot`` on."""
    w, shift = slot >> 6, np.uint64(slot & 63)
    for j in range(n):
        bits = np.uint64(chunk[j] & mask)
        words[w, first + j] |= bits << shift
        signs[w, first + j] |= np.uint64(negative[j] & mask) << shift
    if (slot & 63) + count > 64:
        back = np.uint64(64) - shift
        for j in range(n):
            words[w + 1, first + j] |= np.uint64(chunk[j] & mask) >> back
            signs[w + 1, first + j] |= np.uint64(negative[j] & mask) >> back


@inline
def piece(words, w, line, shift, mask):
    """Up to 32 slots of a line, from ``shift`` slots into word ``w`` on; there is one word more behind the last."""
    low = words[w, line] >> shift
    high = words[w + 1, line] << (np.uint64(63) - shift) << np.uint64(1)
    return np.uint32((low | high) & mask)


@kernel
def count_pieces(single, wide, slots, out, first, last):
    """Coincidences of the first line of ``single`` with every line of ``wide``, sample by sample.

    Args:
        single: pulses [words, lines].
        wide: pulses [words, lines].
        slots: first slot of each sample, and the end [b + 1].
        out: out, counts [b, n].
        first: first sample.
        last: one past the last.
    """
    for b in range(first, last):
        for j in range(out.shape[1]):
            out[b, j] = np.float32(0.0)
        for start in range(slots[b], slots[b + 1], 32):
            w, shift = start >> 6, np.uint64(start & 63)
            mask = (np.uint64(1) << np.uint64(min(32, slots[b + 1] - start))) - np.uint64(1)
            one = piece(single, w, 0, shift, mask)
            for j in range(out.shape[1]):
                out[b, j] += np.float32(np.int32(popcount(np.uint32(one & piece(wide, w, j, shift, mask)))))
