# mypy: ignore-errors
# ruff: noqa: PLR0912, PLR0915 (one compiled loop over blocks and windows reads better in one piece)
"""All windows of a mini-batch of the buffered Tiki-Taka family in one call.

Devices do not interact, so a block of devices goes through the whole mini-batch alone: pulses onto A, column read,
buffer, pulse onto C, and again, while its state stays in the cache.
"""

import numpy as np

from crossweep.tiles.blocks import LANES, ROWS, SIZE
from crossweep.tiles.kernels.bits import as_bits, line_key, mix, square_root
from crossweep.tiles.kernels.block import (
    ALL,
    HIDDEN,
    MEAN,
    PAST,
    SHOWN,
    VALUE,
    XI,
    R,
    V,
    W,
    clear,
    load,
    load_spread,
    normals,
    number,
    pulses_of,
    scratch,
    store,
    two_normals,
)
from crossweep.tiles.kernels.exponential import exponential_pulse, load_cells, move
from crossweep.tiles.kernels.jit import kernel
from crossweep.tiles.kernels.maths import normal
from crossweep.tiles.kernels.periphery import nearest
from crossweep.tiles.kernels.sequence import one_pulse

F = np.float32
_READ, _SLOW = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)


@kernel
def _show(f, write, pulsed):
    """Visible weights; write noise is redrawn where a device was pulsed."""
    if write == F(0.0):
        for e in range(SIZE):
            f[W + e] = f[V + e] - f[R + e]
    elif pulsed:
        for e in range(SIZE):
            shown = f[V + e] - f[R + e] + write * f[SHOWN + e]
            f[W + e] = shown if f[ALL + e] > F(0.0) else f[W + e]


@kernel
def _read(f, ids, io, key):
    """One-hot reads: drive, weight noise, whether it follows the weight, output noise, bin width, bound."""
    drive, w_noise, by_weight, noise, bin_width, bound = io[0], io[1], io[2] > F(0.0), io[3], io[4], io[5]
    if noise > F(0.0) or w_noise > F(0.0):
        normals(f, ids, key)
    else:
        clear(f, XI)
    for e in range(SIZE):
        w = f[W + e]
        own = abs(w) if by_weight else F(1.0)
        std = square_root(F(noise * noise + w_noise * w_noise * own * drive * drive))
        v = w * drive + std * f[XI + e]
        f[VALUE + e] = min(max(nearest(v, bin_width), -bound), bound)


@kernel
def _excess(f, reads, fresh, beta, first):
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
def _digest(f, reads, gain, gate, row_sign, scalars, row, first):
    """Buffer and threshold; wanted pulses of C go to ``VALUE``. Whether there is any."""
    momentum, forget, longest, cap = scalars[0], scalars[1] > F(0.0), scalars[2], scalars[3]
    keep, limit = F(1.0) - scalars[4], cap if cap > F(0.0) else F(np.inf)
    some = np.uint32(0)
    for i in range(ROWS):
        sign = row_sign[min(row + i, row_sign.shape[0] - 1)]
        for j in range(LANES):
            e = i * LANES + j
            read, before = reads[first + j] > F(0.0), f[HIDDEN + e]
            h = keep * before + sign * gain[first + j] * f[VALUE + e]
            n = F(np.int32(min(max(h, -longest), longest)))  # truncates
            rest = momentum * h if forget else h - (F(1.0) - momentum) * n
            rest = min(max(rest, -limit), limit)
            after = rest if n != F(0.0) else h
            f[HIDDEN + e] = after if read else before
            wanted = n * gate[first + j] if read else F(0.0)
            f[VALUE + e] = wanted
            some |= as_bits(F(abs(wanted)))
    return some != np.uint32(0)


@kernel
def _give(f, hit, slow, scalars, write, step, longest, row, first, key):
    """Pulses of C where they are wanted; how many."""
    v, w, r, su, sd, mu, md, high, low = slow
    sigma, relative, given = scalars[0], scalars[1] > F(0.0), 0
    rows, width = min(ROWS, v.shape[0] - row), min(LANES, v.shape[1] - first)
    for i in range(rows):
        some = np.uint32(0)
        for j in range(LANES):
            some |= as_bits(F(abs(f[VALUE + i * LANES + j])))
        if some == np.uint32(0):
            continue
        for q in range(width):
            wanted = f[VALUE + i * LANES + q]
            if wanted == F(0.0):
                continue
            k, j = row + i, first + q
            lane, state = mix(np.uint32(k * v.shape[1] + j), key), v[k, j]
            pulses = np.int64(min(np.rint(step * abs(wanted)), longest))
            for t in range(pulses):
                xi = normal(np.uint32(2 * t + 4), lane) if sigma > F(0.0) else F(0.0)
                if scalars[4] > F(0.0):
                    state = exponential_pulse(
                        state,
                        wanted > F(0.0),
                        su[k, j],
                        sd[k, j],
                        mu[k, j],
                        high[k, j],
                        low[k, j],
                        scalars,
                        xi,
                    )
                else:
                    state = one_pulse(
                        state, wanted > F(0.0), su[k, j], sd[k, j], mu[k, j], md[k, j], high[k, j], low[k, j], sigma,
                        relative, xi,
                    )  # fmt: skip
            if pulses == 0:
                continue
            v[k, j] = state
            xi = normal(np.uint32(2), lane) if write > F(0.0) else F(0.0)
            w[k, j] = state - r[k, j] + write * xi
            hit[j] = 1
            given += pulses
    return given


@kernel
def window_blocks(
    lines, squares, turn_d, plan, parts, fast, fast_scalars, io, buffers, digest, slow, slow_scalars, row_sign, key, out,
    top, bottom,
):  # fmt: skip
    """Run the block rows ``top`` to ``bottom``, in place.

    Args:
        lines: as ``block.pulses_of``.
        squares: of rows and columns, as ``block.load_spread``; empty where counts are known.
        turn_d: rows whose sign is turned.
        plan: for every window and column: first slot, one past the last slot (int64), whether the sign is turned
            (bool), whether it is read at the end, what a unit of the read adds to H, whether its running mean
            becomes what is subtracted, whether it may send pulses (float32) [windows, n, in whole blocks].
        parts: in how many parts, of equal slots, devices respond [windows].
        fast: A: state, visible weight, reference [rows, n]; steps, slopes and bounds.
        fast_scalars: as ``compiled.scalars``.
        io: as ``_read``; a negative drive is a perfect read.
        buffers: H, running mean, subtracted mean [rows, n]; the means may be empty.
        digest: as ``digital.digest_rows``, then the pulses of C for each time that H passes its threshold.
        slow: C, as ``fast`` but in one tuple.
        slow_scalars: as ``fast_scalars``.
        row_sign: chopper of each row [rows].
        key: 63-bit key.
        out: pulses of A and of C [2, rows of blocks], and whether a read of a column sent any [windows, n] (uint8).
        top: first row of blocks.
        bottom: one past the last.
    """
    since, until, turn_x, reads, gain, fresh, gate = plan
    states, device = fast
    hidden, mean, past = buffers
    given_out, hit = out
    write, n, means = fast_scalars[3], hidden.shape[1], mean.shape[0] > 0
    f, ids, room = scratch()
    for block in range(top, bottom):
        row = block * ROWS
        for first in range(0, n, LANES):
            stop = min(first + LANES, n)
            load_cells(f, device, fast_scalars, row, first)
            load(f, V, states[0], row, first, F(0.0))
            load(f, W, states[1], row, first, F(0.0))
            load(f, R, states[2], row, first, F(0.0))
            load(f, HIDDEN, hidden, row, first, F(0.0))
            if means:
                load(f, MEAN, mean, row, first, F(0.0))
                load(f, PAST, past, row, first, F(0.0))
            if squares[0].shape[0] > 0:
                load_spread(f, squares[0], squares[1], row, first)
            number(ids, row, first, n)
            for m in range(since.shape[0]):
                earliest, latest = since[m, first:stop].min(), until[m, first:stop].max()
                number_of_parts = np.int64(parts[m]) if latest > earliest else np.int64(0)
                for part in range(number_of_parts):
                    begin = earliest + (latest - earliest) * part // number_of_parts
                    end = earliest + (latest - earliest) * (part + 1) // number_of_parts
                    if begin >= end or not pulses_of(
                        lines, since[m], until[m], turn_x[m], turn_d, row, first, begin, end, room, f
                    ):
                        continue
                    own = line_key(key, m * 65536 + part)
                    if write > F(0.0):
                        two_normals(f, ids, own)
                    else:
                        normals(f, ids, own)
                    move(f, ids, fast_scalars, own)
                    _show(f, write, True)
                    total = np.int32(0)  # whole numbers, so that the sum vectorises
                    for e in range(SIZE):
                        total = np.int32(total + np.int32(F(64.0) * f[ALL + e]))
                    given_out[0, block] += total / 64.0
                if reads[m, first:stop].max() <= F(0.0):
                    continue
                own = line_key(key, m)
                if io[0] < F(0.0):
                    for e in range(SIZE):
                        f[VALUE + e] = f[W + e]
                else:
                    _read(f, ids, io, mix(_READ, own))
                if means:
                    _excess(f, reads[m], fresh[m], digest[5], first)
                if _digest(f, reads[m], gain[m], gate[m], row_sign, digest, row, first):
                    given_out[1, block] += _give(
                        f,
                        hit[m],
                        slow,
                        slow_scalars,
                        slow_scalars[3],
                        digest[6],
                        digest[2],
                        row,
                        first,
                        mix(_SLOW, own),
                    )
            store(f, V, states[0], row, first)
            store(f, W, states[1], row, first)
            store(f, HIDDEN, hidden, row, first)
            if means:
                store(f, MEAN, mean, row, first)
                store(f, PAST, past, row, first)
