# mypy: ignore-errors
"""A block of devices, 32 rows by 16 columns, as rows of one scratch array: what all kernels of the engine share.

Devices do not interact, so a block goes through a whole mini-batch while it stays in the first-level cache. Its
quantities lie behind one another in one array at fixed places, so that every pass is one loop of fixed length
over contiguous numbers, which vectorises without run-time checks. Blocks start at multiples of their size, and random
numbers belong to a device's position: the same bits for any number of threads.
"""

import numpy as np

from crossweep.engine.cpu.blocks import LANES, ROWS, SIZE, STRIDE
from crossweep.engine.cpu.kernels.bits import as_bits
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import normal_pair
from crossweep.engine.cpu.kernels.vectors import (
    bring_block,
    count_block,
    expect_block,
    fetch_ahead,
    return_block,
)

F = np.float32
SAMPLES = 256  # samples of a column that are looked at in one go
WORDS = 64  # pulse words of a column that are looked at in one go
# where quantities start in the scratch array; first what a response is made of. Plain ints would be part of a kernel's
# type, and it would be compiled anew for each place
_APART = np.int64(STRIDE)
UP, ALL, V, HIGH, LOW = (_APART * k for k in range(5))
CU, CD, RU, RD = (_APART * k for k in range(5, 9))  # drives and rates of one pulse, see ``affine``
XI, SPREAD = (
    9 * _APART,
    10 * _APART,
)  # noise; variance of a count in units of its mean, 0 where counts are known
RESPONSE = 11 * _APART  # all of these
END, RELAX, HARD = (
    _APART * k for k in range(11, 14)
)  # new state, relaxation, whether it needs the full formulas
R, W, SHOWN, VALUE, HIDDEN, MEAN, PAST, SECOND, GIVEN = (_APART * k for k in range(14, 23))
NEAR = 23 * _APART  # a response and its new states for the devices that need the full formulas
# what a table knows of its devices (``tabulated``); where a response lies as it is for one visit
GAIN_UP, GAIN_DOWN, SCALE, ORIGIN = (NEAR + _APART * k for k in range(12, 16))
ROOM = NEAR + 28 * _APART  # behind them what ``tabulated`` works with
# where, behind the numbers of a block's devices, those of the devices that need them lie, and their random words
CHOSEN, WORD = SIZE, 2 * SIZE + LANES
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel
def load(f, place, matrix, row, first, neutral):
    """Copy a block of a matrix to its place; what lies beyond the matrix is ``neutral``."""
    rows, width = min(ROWS, matrix.shape[0] - row), min(LANES, matrix.shape[1] - first)
    if rows == ROWS and width == LANES:
        bring_block(matrix, row, first, f, place)
        return
    for e in range(SIZE):
        f[place + e] = neutral
    for i in range(rows):
        for j in range(width):
            f[place + i * LANES + j] = matrix[row + i, first + j]


@kernel
def store(f, place, matrix, row, first):
    """Copy a block back."""
    rows, width = min(ROWS, matrix.shape[0] - row), min(LANES, matrix.shape[1] - first)
    if rows == ROWS and width == LANES:
        return_block(matrix, row, first, f, place)
        return
    for i in range(rows):
        for j in range(width):
            matrix[row + i, first + j] = f[place + i * LANES + j]


@kernel
def store_sum(f, place, matrix, row, first):
    """Add a block to that of a matrix."""
    rows, width = min(ROWS, matrix.shape[0] - row), min(LANES, matrix.shape[1] - first)
    if width == LANES:
        for i in range(rows):
            for j in range(LANES):
                matrix[row + i, first + j] += f[place + i * LANES + j]
        return
    for i in range(rows):
        for j in range(width):
            matrix[row + i, first + j] += f[place + i * LANES + j]


@kernel
def ask_for(matrices, row, first):
    """Have a block of each matrix on its way while another one is worked on."""
    for matrix in matrices:
        for i in range(row, min(row + ROWS, matrix.shape[0])):
            fetch_ahead(matrix, i, first)


@inline
def clear(f, place):
    """Set a place to zero."""
    for e in range(SIZE):
        f[place + e] = F(0.0)


@kernel
def number(ids, row, first, columns):
    """Number the devices of a block: two counters of random numbers each."""
    for i in range(ROWS):
        for j in range(LANES):
            ids[i * LANES + j] = np.uint32(2 * ((row + i) * columns + first + j))


@kernel
def normals(f, ids, key):
    """Standard normal numbers for all devices, in pairs: the lower half of a block takes the second ones."""
    for e in range(SIZE // 2):
        a, b = normal_pair(ids[e], key)
        f[XI + e] = a
        f[XI + SIZE // 2 + e] = b


@kernel
def two_normals(f, ids, key):
    """Two independent standard normal numbers for each device."""
    for e in range(SIZE):
        a, b = normal_pair(ids[e], key)
        f[XI + e] = a
        f[SHOWN + e] = b


@kernel
def choose(f, ids):
    """Put the numbers, within the block, of the devices whose ``HARD`` is 1 from ``CHOSEN`` on."""
    n = CHOSEN
    for row in range(0, SIZE, LANES):
        some = np.uint32(0)
        for e in range(row, row + LANES):
            some |= as_bits(f[HARD + e])
        if some > np.uint32(0):
            for e in range(row, row + LANES):  # without a branch
                ids[n] = e
                n += np.int64(as_bits(f[HARD + e]) >> np.uint32(29))  # 1 where it is 1.0


@inline
def _below(k):
    """A word with its lowest ``k`` bits set; ``k`` may lie outside 0..64."""
    k = min(max(k, 0), 64)
    return np.uint64(0) if k == 0 else _ONES >> np.uint64(64 - k)


@kernel
def load_words(lines, since, until, turn, start, words, first, begin, end, pulses, signs):
    """Copy ``words`` words of a block's columns from word ``start`` on, keeping the slots that each column sees."""
    x, s = lines
    for w in range(words):
        base = (start + w) << 6
        if base >= begin and base + 64 <= end:
            for j in range(LANES):
                mask = _below(until[first + j] - base) & ~_below(since[first + j] - base)
                pulses[w * LANES + j] = x[start + w, first + j] & mask
        else:
            for j in range(LANES):
                lo, hi = max(since[first + j], begin) - base, min(until[first + j], end) - base
                pulses[w * LANES + j] = x[start + w, first + j] & _below(hi) & ~_below(lo)
        for j in range(LANES):
            signs[w * LANES + j] = s[start + w, first + j] ^ (_ONES if turn[first + j] else np.uint64(0))


@kernel
def scratch():
    """The block; numbers of its devices, and what lies behind them; room for what is loaded of its columns."""
    words = np.empty(WORDS * LANES, np.uint64), np.empty(WORDS * LANES, np.uint64)
    return (
        np.zeros(ROOM, np.float32),
        np.zeros(3 * SIZE + LANES, np.uint32),
        (*words, np.empty(SAMPLES * LANES, np.float32)),
    )


@kernel
def pulses_of(lines, since, until, turn_x, turn_d, row, first, begin, end, room, f):
    """Ups and all pulses of a block between two slots; whether there is any.

    Args:
        lines: pulses and signs of the rows [words, rows], pulses and signs of the columns [words, n], all in whole
            blocks; or, where these are empty, expected pulses of the rows [samples, rows] and probabilities of the
            columns [samples, n], both signed; then a sample is one slot. Last the rows' slots for ``counters``.
        since: first slot each column sees.
        until: one past the last slot each column sees.
        turn_x: columns whose sign is turned.
        turn_d: rows whose sign is turned.
        row: first row of the block.
        first: first column of the block.
        begin: first slot.
        end: one past the last slot.
        room: of ``scratch``.
        f: the block.
    """
    d, e, x, s, w, p, _ = lines
    pulses, signs, chances = room
    clear(f, UP)
    clear(f, ALL)
    if w.shape[0] > 0:
        for start in range(begin, end, SAMPLES):
            samples = min(SAMPLES, end - start)
            load_chances(p, since, until, turn_x, start, samples, first, chances)
            expect_block(w, turn_d, start * w.shape[1] + row, chances, samples, f)
    else:
        last = (end + 63) >> 6
        for start in range(begin >> 6, last, WORDS):
            words = min(WORDS, last - start)
            load_words((x, s), since, until, turn_x, start, words, first, begin, end, pulses, signs)
            count_block(d, e, turn_d, start * d.shape[1] + row, ROWS, pulses, signs, words, f)
    most = np.uint32(0)
    for k in range(SIZE):
        most = max(most, as_bits(f[ALL + k]))
    return most > np.uint32(0)


@kernel
def load_chances(p, since, until, turn, start, samples, first, out):
    """Copy the probabilities of a block's columns in ``samples`` samples, zero where a column does not see one."""
    lo, hi, signs = np.empty(LANES, np.int32), np.empty(LANES, np.int32), np.empty(LANES, np.float32)
    for j in range(LANES):
        lo[j], hi[j] = max(since[first + j] - start, 0), min(until[first + j] - start, samples)
        signs[j] = F(-1.0) if turn[first + j] else F(1.0)
    from_all, to_all = lo.max(), hi.min()
    for b in range(samples):
        if from_all <= b < to_all:
            for j in range(LANES):
                out[b * LANES + j] = signs[j] * p[start + b, first + j]
        else:
            at = np.int32(b)
            for j in range(LANES):
                out[b * LANES + j] = signs[j] * p[start + b, first + j] if lo[j] <= at < hi[j] else F(0.0)


@kernel
def load_spread(f, squares_d, squares_x, row, first):
    """Variance of each expected count in units of its mean; the squares belong to whole blocks."""
    for i in range(ROWS):
        for j in range(LANES):
            f[SPREAD + i * LANES + j] = max(F(1.0) - squares_d[row + i] * squares_x[first + j], F(0.0))
