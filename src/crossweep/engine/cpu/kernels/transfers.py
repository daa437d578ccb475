# mypy: ignore-errors
"""What follows the pulses onto A: reads of its columns, the digital numbers they change, and pulses onto C.

Each works on a block of devices (``block``); the pulse trains of a transfer need all blocks of a column.
"""

import numpy as np

from crossweep.engine.cpu.blocks import LANES, ROWS, SIZE
from crossweep.engine.cpu.kernels.batch import balanced
from crossweep.engine.cpu.kernels.bits import as_bits, as_float, line_key, mix, square_root
from crossweep.engine.cpu.kernels.block import (
    CHOSEN,
    HIDDEN,
    MEAN,
    PAST,
    SECOND,
    VALUE,
    XI,
    W,
    clear,
    load,
    normals,
)
from crossweep.engine.cpu.kernels.jit import kernel
from crossweep.engine.cpu.kernels.periphery import nearest
from crossweep.engine.cpu.kernels.together import (
    COUNT,
    DRAWN,
    STATE,
    UPWARDS,
    bring,
    draw_one,
    two_more,
)
from crossweep.engine.cpu.kernels.vectors import fetch_ahead

F = np.float32
SLOW, _SINGLE = np.uint32(0xC2B2AE35), np.uint32(0x165667B1)


@kernel
def read_block(f, ids, io, disturbance, m, row, first, key):
    """One-hot reads into ``VALUE``.

    ``io``: ``scalars.Reads``; ``disturbance``: what lines that are not driven add to the reads of window ``m``
    [windows, rows, n], or empty.
    """
    if io.perfect:
        for e in range(SIZE):
            f[VALUE + e] = f[W + e]
        return
    drive, w_noise, by_weight, noise = io.drive, io.w_noise, io.by_weight, io.out_noise
    bin_width, bound = io.bin_width, io.bound
    if disturbance.shape[0] > 0:
        load(f, VALUE, disturbance[m], row, first, F(0.0))
    else:
        clear(f, VALUE)
    if io.ir_drop > F(0.0):
        _lose(f, drive, io.ir_drop, io.wire, io.lines, first)
    if noise > F(0.0) or w_noise > F(0.0):
        normals(f, ids, key)
    else:
        clear(f, XI)
    for e in range(SIZE):
        w = f[W + e]
        own = abs(w) if by_weight else F(1.0)
        std = square_root(F(noise * noise + w_noise * w_noise * own * drive * drive))
        v = w * drive + f[VALUE + e] + std * f[XI + e]
        f[VALUE + e] = min(max(nearest(v, bin_width), -bound), bound)


@kernel
def _lose(f, drive, strength, ratio, lines, first):
    """The IR drop of one-hot reads, as ``io.read_slices`` has it: only the driven line carries current."""
    for j in range(LANES):
        away = F(1.0) - F(first + j) / lines
        position = strength * (F(1.0) - away * away)
        for i in range(ROWS):
            e = i * LANES + j
            v = f[W + e] * drive
            a = abs(v) * ratio
            f[VALUE + e] -= position * a * (a * (F(0.05) * a - F(0.2)) + F(0.5)) * v


@kernel
def excess_block(f, reads, fresh, beta, first):
    """What reads exceed their past mean by; the running means of what was read move on."""
    for i in range(ROWS):
        for j in range(LANES):
            e = i * LANES + j
            read, m, v, p = (
                reads[first + j] > F(0.0),
                f[MEAN + e],
                f[VALUE + e],
                f[PAST + e],
            )
            p = m if read and fresh[first + j] > F(0.0) else p
            f[PAST + e] = p
            f[MEAN + e] = (F(1.0) - beta) * m + beta * v if read else m
            f[VALUE + e] = v - p


@kernel
def normalise_block(f, reads, share, floor, first):
    """Reads over the root of their running mean square, which moves on."""
    for i in range(ROWS):
        for j in range(LANES):
            e = i * LANES + j
            weight, u, before = share[first + j], f[VALUE + e], f[SECOND + e]
            square = (F(1.0) - weight) * before + weight * u * u
            f[SECOND + e] = square if reads[first + j] > F(0.0) else before
            f[VALUE + e] = u / (square_root(square) + floor)


@kernel
def factor_block(f, reads, factors, floor, row, first, column):
    """Reads over the product of two roots, of row and column; their squares add up.

    ``factors``: roots of the rows [rows] and columns [n, in whole blocks]; sums of squares of the rows, for each block of
    columns [column blocks, rows], and of the columns [n, in whole blocks].
    """
    row_roots, column_roots, row_sums, column_sums = factors
    for i in range(min(ROWS, row_roots.shape[0] - row)):
        own = F(0.0)
        for j in range(LANES):
            e = i * LANES + j
            root, u = row_roots[row + i] * column_roots[first + j], f[VALUE + e]
            square = u * u if reads[first + j] > F(0.0) else F(0.0)
            own += square
            column_sums[first + j] += square
            f[VALUE + e] = u / (root + floor) if root > F(0.0) else F(0.0)
        row_sums[column, row + i] += own


@kernel
def digest_block(f, reads, gain, gate, row_sign, threshold, row, first):
    """Buffer and threshold; wanted pulses of C go to ``VALUE``. Whether there is any.

    ``row_sign``: choppers of the rows, over their unit where reads are normalised.
    """
    momentum, longest, limit = threshold.momentum, threshold.longest, threshold.limit
    keep = F(0.0) if threshold.no_buffer else F(1.0)
    some = np.uint32(0)
    for i in range(ROWS):
        sign = row_sign[min(row + i, row_sign.shape[0] - 1)]
        for j in range(LANES):
            e = i * LANES + j
            read, before = reads[first + j] > F(0.0), f[HIDDEN + e]
            h = keep * before + sign * gain[first + j] * f[VALUE + e]
            n = F(np.int32(min(max(h, -longest), longest)))  # truncates
            rest = momentum * h if threshold.forget else h - (F(1.0) - momentum) * n
            rest = min(max(rest, -limit), limit)
            after = rest if n != F(0.0) else h
            f[HIDDEN + e] = after if read else before
            wanted = n * gate[first + j] if read else F(0.0)
            f[VALUE + e] = wanted
            some |= as_bits(F(abs(wanted)))
    return some != np.uint32(0)


@kernel
def give_block(f, ids, hit, slow, scalars, step, longest, row, first, key):
    """Pulses of C where ``VALUE`` wants them, ``step`` for each that is wanted and ``longest`` at most."""
    v, w, r, given = slow[:4]
    device = slow[4:]
    chosen = _wanted(f, ids, slow, row, first)
    write = scalars.write
    for base in range(CHOSEN, CHOSEN + chosen, LANES):
        n, most = min(LANES, CHOSEN + chosen - base), F(0.0)
        for k in range(LANES):
            f[COUNT + k] = F(0.0)
        for k in range(n):
            e = np.int64(ids[base + k])
            i, j, wanted = row + e // LANES, first + e % LANES, f[VALUE + e]
            bring(f, ids, k, v[i, j], device, i, j, mix(np.uint32(i * v.shape[1] + j), key))
            f[COUNT + k] = min(np.rint(step * abs(wanted)), longest)
            f[UPWARDS + k] = F(1.0) if wanted > F(0.0) else F(0.0)
            most = max(most, f[COUNT + k])
        for t in range(0, np.int64(most), 2):
            two_more(f, ids, np.uint32(4 + t), F(t), scalars)
        if write > F(0.0):
            draw_one(f, ids, np.uint32(2))
        for k in range(n):
            e = np.int64(ids[base + k])
            i, j, pulses = row + e // LANES, first + e % LANES, f[COUNT + k]
            if pulses > F(0.0):
                v[i, j], noise = f[STATE + k], write * f[DRAWN + k] if write > F(0.0) else F(0.0)
                w[i, j] = f[STATE + k] - r[i, j] + noise
                hit[j] = 1
                given[i, j] += pulses


@kernel
def _wanted(f, ids, slow, row, first):
    """Put the numbers, within the block, of the devices of C that are wanted from ``CHOSEN`` on; how many."""
    rows, width = min(ROWS, slow[0].shape[0] - row), min(LANES, slow[0].shape[1] - first)
    n = CHOSEN
    for i in range(rows):
        some = np.uint32(0)
        for j in range(LANES):
            some |= as_bits(F(abs(f[VALUE + i * LANES + j])))
        if some == np.uint32(0):
            continue
        for matrix in slow:  # C was not looked at for long: ask for all that is needed before using any of it
            fetch_ahead(matrix, row + i, first)
        for j in range(width):
            e = i * LANES + j
            ids[n] = e
            n += 1 if f[VALUE + e] != F(0.0) else 0
    return n - CHOSEN


@kernel
def smooth_block(f, reads, gain, row_sign, train, row, first, wanted, most):
    """What is to be written of each read goes to ``wanted``, and the largest of each column to ``most``; the buffer
    moves on."""
    least, buffered = train.least, train.averaged
    place = row // ROWS * SIZE
    for i in range(ROWS):
        sign = row_sign[min(row + i, row_sign.shape[0] - 1)]
        for j in range(LANES):
            e = i * LANES + j
            read, v, before = reads[first + j] > F(0.0), f[VALUE + e], f[HIDDEN + e]
            weight, chopper = abs(gain[first + j]), F(-1.0) if gain[first + j] < F(0.0) else F(1.0)
            h = (F(1.0) - weight) * before + weight * v if buffered else v
            f[HIDDEN + e] = h if read else before
            own = h if abs(h) > least else F(0.0)
            own = sign * chopper * own if read and row + i < row_sign.shape[0] else F(0.0)
            wanted[place + e] = own
            most[j] = max(most[j], as_bits(F(abs(own))))


@kernel
def _chances(most, reads, train, first, lengths, single, scales):
    """Slots of each column's trains, chance of a pulse of its one-hot side per slot, and scale of the vector's chances."""
    drive, longest, managed, shorten = train.drive, train.longest, train.managed, train.shorten
    grad_scale, as_input = train.grad_scale, train.rows
    for j in range(LANES):
        top = as_float(most[j])
        x, d = (top, grad_scale) if as_input else (F(1.0), top * grad_scale)
        if managed:
            lengths[j], scale_x, scale_d = balanced(drive, x, d, F(1.0), longest, shorten)
        else:
            lengths[j] = longest
            scale_x = scale_d = square_root(F(drive / longest))
        if reads[first + j] <= F(0.0) or top == F(0.0) or drive == F(0.0):
            lengths[j] = F(0.0)
        one, scales[j] = (scale_d, scale_x) if as_input else (scale_x, scale_d)
        single[j] = min(one, F(1.0))


@kernel
def pulse_columns(f, ids, wanted, most, counts, chances, reads, train, hit, slow, slow_scalars, first, key):
    """Write the columns that were read, each by one pair of pulse trains."""
    lengths, single, scales, limits = chances
    _chances(most, reads, train, first, lengths, single, scales)
    slots, (rows, n) = np.int64(lengths.max()), slow[0].shape
    if slots == 0:
        return
    end = -(-rows // ROWS) * SIZE
    for e in range(0, end, LANES):
        for j in range(LANES):
            p = min(abs(wanted[e + j]) * scales[j], F(1.0))
            limits[e + j] = np.uint32(np.int64(p * F(2.0**31)))  # 31 bits: a chance of one is exact
            counts[e + j] = np.int32(0)
    on = np.empty(LANES, np.int32)
    for slot in range(slots):
        own = line_key(key, slot)
        some = np.int32(0)
        for j in range(LANES):
            chance = np.uint32(np.int64(single[j] * F(2.0**31)))
            pulses = (
                F(slot) < lengths[j]
                and (mix(np.uint32(first + j), mix(_SINGLE, own)) >> np.uint32(1)) < chance
            )
            on[j] = np.int32(1) if pulses else np.int32(0)
            some |= on[j]
        if some == np.int32(0):
            continue
        for e in range(0, end, LANES):
            base = np.uint32(e // LANES * n + first)
            for j in range(LANES):
                r = mix(np.uint32(base + np.uint32(j)), own) >> np.uint32(1)
                counts[e + j] += on[j] if r < limits[e + j] else np.int32(0)
    for row in range(0, rows, ROWS):
        place = row // ROWS * SIZE
        for e in range(SIZE):
            count = F(counts[place + e])
            f[VALUE + e] = count if wanted[place + e] > F(0.0) else -count
        give_block(f, ids, hit, slow, slow_scalars, F(1.0), F(2.0**30), row, first, mix(SLOW, key))
