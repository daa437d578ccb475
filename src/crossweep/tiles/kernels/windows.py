# mypy: ignore-errors
# ruff: noqa: PLR0912 (one compiled loop; its rows of slices read better in one piece)
"""All windows of a mini-batch of the buffered Tiki-Taka family in one call.

Devices do not interact, so a block of rows and columns can go through the whole mini-batch alone: pulses
onto A, column
read, buffer, pulse onto C, and again, while its state stays in the cache.
"""

import numpy as np

from crossweep.tiles.kernels.bits import line_key, mix, square_root
from crossweep.tiles.kernels.jit import inline, kernel
from crossweep.tiles.kernels.maths import normal
from crossweep.tiles.kernels.periphery import nearest
from crossweep.tiles.kernels.sequence import one_pulse
from crossweep.tiles.kernels.update import count_block, respond_row

F = np.float32
_ROWS, _COLUMNS, _WORDS = 64, 64, 64
_SHOW, _READ, _SLOW = np.uint32(0x5BD1E995), np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)


@inline
def _show(v, w, r, given, write, width, counter, key):
    if write == F(0.0):
        for j in range(width):
            w[j] = v[j] - r[j]
        return
    for j in range(width):
        xi = normal(np.uint32(counter + np.uint32(2) * np.uint32(j)), key)
        w[j] = v[j] - r[j] + write * xi if given[j] > F(0.0) else w[j]


@inline
def _read(w, value, io, width, counter, key):
    """One-hot reads: drive, weight noise, whether it follows the weight, output noise, bin width, bound."""
    drive, w_noise, by_weight, noise, bin_width, bound = io[0], io[1], io[2] > F(0.0), io[3], io[4], io[5]
    for j in range(width):
        own = abs(w[j]) if by_weight else F(1.0)
        std = square_root(F(noise * noise + w_noise * w_noise * own * drive * drive))
        v = w[j] * drive + std * normal(np.uint32(counter + np.uint32(2) * np.uint32(j)), key)
        value[j] = min(max(nearest(v, bin_width), -bound), bound)


@inline
def _digest(value, hidden, reads, gain, gate, sign, scalars, width, wanted):
    momentum, forget, longest, cap = scalars[0], scalars[1] > F(0.0), scalars[2], scalars[3]
    keep, limit = F(1.0) - scalars[4], cap if cap > F(0.0) else F(np.inf)
    for j in range(width):
        read = reads[j] > F(0.0)
        h = keep * hidden[j] + sign * gain[j] * value[j]
        n = F(np.int32(min(max(h, -longest), longest)))  # truncates
        rest = momentum * h if forget else h - (F(1.0) - momentum) * n
        rest = min(max(rest, -limit), limit)
        after = rest if n != F(0.0) else h
        hidden[j] = after if read else hidden[j]
        wanted[j] = n * gate[j] if read else F(0.0)


@inline
def _excess(value, mean, past, reads, fresh, beta, width):
    for j in range(width):
        read, m, v = reads[j] > F(0.0), mean[j], value[j]
        p = m if fresh[j] > F(0.0) else past[j]
        past[j] = p if read else past[j]
        mean[j] = (F(1.0) - beta) * m + beta * v if read else m
        value[j] = v - p


@inline
def _give(wanted, hit, v, w, r, su, sd, mu, md, high, low, scalars, write, width, step, key):
    """Single pulses of C where they are wanted; returns how many."""
    sigma, relative, given = scalars[0], scalars[1] > F(0.0), 0
    for j in range(width):
        if wanted[j] == F(0.0):
            continue
        lane = mix(np.uint32(step * 64 + j), key)
        xi = normal(np.uint32(0), lane) if sigma > F(0.0) else F(0.0)
        up = wanted[j] > F(0.0)
        v[j] = one_pulse(v[j], up, su[j], sd[j], mu[j], md[j], high[j], low[j], sigma, relative, xi)
        xi = normal(np.uint32(2), lane) if write > F(0.0) else F(0.0)
        w[j] = v[j] - r[j] + write * xi
        hit[j] = 1
        given += 1
    return given


@kernel
def window_rows(
    words,
    plan,
    edges,
    fast,
    fast_scalars,
    io,
    buffers,
    digest,
    slow,
    slow_scalars,
    row_sign,
    key,
    out,
    top,
    bottom,
):
    """Run the rows ``top`` to ``bottom``, in place.

    Args:
        words: pulses and signs of the rows, pulses and signs of the columns, rows turned (as
            ``update.update_rows``).
        plan: for every window and column: first slot, one past the last slot (int64), whether the sign is
            turned
            (bool), whether it is read at the end, what a unit of the read adds to H, whether its running
            mean becomes
            what is subtracted, whether it may send pulses (float32) [windows, n].
        edges: slots between which devices respond in one go [segments + 1].
        fast: A: state, visible weight, reference, steps, slopes, bounds [rows, n].
        fast_scalars: noise of a pulse, whether it is relative, kappa, write noise.
        io: as ``_read``; a negative drive is a perfect read.
        buffers: H, running mean, subtracted mean [rows, n]; the means may be empty.
        digest: as ``digital.digest_rows``.
        slow: C, as ``fast``.
        slow_scalars: as ``fast_scalars``.
        row_sign: chopper of each row [rows].
        key: 63-bit key.
        out: pulses of A and of C [2, rows], and whether a read of a column sent any [windows, n] (uint8).
        top: first row.
        bottom: one past the last row.
    """
    d, e, x, s, turn_d = words
    since, until, turn_x, reads, gain, fresh, gate = plan
    given_out, hit = out
    v, w, r, su, sd, mu, md, high, low = fast
    cv, cw, cr, csu, csd, cmu, cmd, chigh, clow = slow
    hidden, mean, past = buffers
    n, segments, number = x.shape[1], edges.shape[0] - 1, since.shape[0]
    pulses, signs = np.empty((_WORDS, _COLUMNS), np.uint64), np.empty((_WORDS, _COLUMNS), np.uint64)
    up, total = np.empty((_ROWS, _COLUMNS), np.float32), np.empty((_ROWS, _COLUMNS), np.float32)
    given, value = np.empty((_ROWS, _COLUMNS), np.float32), np.empty(_COLUMNS, np.float32)
    wanted = np.empty(_COLUMNS, np.float32)
    for first in range(0, n, _COLUMNS):
        width = min(_COLUMNS, n - first)
        stop = first + width
        for row in range(top, bottom, _ROWS):
            rows = min(_ROWS, bottom - row)
            for m in range(number):
                earliest, latest = since[m, first:stop].min(), until[m, first:stop].max()
                pulsed = False
                for segment in range(segments):
                    begin, end = max(edges[segment], earliest), min(edges[segment + 1], latest)
                    if begin >= end:
                        continue
                    if not pulsed:
                        given[:rows, :width] = F(0.0)
                        pulsed = True
                    count_block(
                        d, e, x, s, since[m], until[m], turn_x[m], turn_d, first, width, row, rows, begin, end,
                        pulses, signs, up, total,
                    )  # fmt: skip
                    for i in range(rows):
                        k = row + i
                        respond_row(
                            v[k, first:], given[i], su[k, first:], sd[k, first:], mu[k, first:], md[k, first:],
                            high[k, first:], low[k, first:], up[i], total[i], width, fast_scalars,
                            np.uint32(3 * ((m * segments + segment) * n + first)), line_key(key, k),
                        )  # fmt: skip
                some = reads[m, first:stop].max() > F(0.0)
                for i in range(rows):
                    k = row + i
                    own, counter = line_key(key, k), np.uint32(2 * (m * n + first))
                    wk = w[k, first:]
                    if pulsed:
                        given_out[0, k] += given[i, :width].sum()
                        _show(
                            v[k, first:],
                            wk,
                            r[k, first:],
                            given[i],
                            fast_scalars[3],
                            width,
                            counter,
                            mix(_SHOW, own),
                        )
                    if not some:
                        continue
                    if io[0] < F(0.0):
                        for j in range(width):
                            value[j] = wk[j]
                    else:
                        _read(wk, value, io, width, counter, mix(_READ, own))
                    if mean.shape[0] > 0:
                        _excess(
                            value,
                            mean[k, first:],
                            past[k, first:],
                            reads[m, first:],
                            fresh[m, first:],
                            digest[5],
                            width,
                        )
                    _digest(
                        value, hidden[k, first:], reads[m, first:], gain[m, first:], gate[m, first:], row_sign[k],
                        digest, width, wanted,
                    )  # fmt: skip
                    given_out[1, k] += _give(
                        wanted, hit[m, first:], cv[k, first:], cw[k, first:], cr[k, first:], csu[k, first:],
                        csd[k, first:], cmu[k, first:], cmd[k, first:], chigh[k, first:], clow[k, first:],
                        slow_scalars, slow_scalars[3], width, m * ((n + 63) // 64) + first // 64, mix(_SLOW, own),
                    )  # fmt: skip
