# mypy: ignore-errors
# ruff: noqa: PLR0912 (one compiled loop; its rows of slices read better in one piece)
"""Every pulse in order, for affine devices: the ``pulse`` level, and known numbers of pulses.

Pulses of one device are taken from its words one by one. The noise of a group of pulses is added at its end
as one
normal number with the variance that the single ones have together: for noise that does not depend on the
state the
distribution is exactly that of single draws, as long as no bound is within reach. Where one is (``_REACH``
standard
deviations), or where the noise follows the state and steps are coarse, the device goes through the group
pulse by
pulse, with noise and bounds at each.
"""

import numpy as np

from crossweep.tiles.kernels.bits import line_key, mix, popcount, square_root, trailing_zeros
from crossweep.tiles.kernels.jit import inline, kernel
from crossweep.tiles.kernels.maths import normal

F = np.float32
_WORDS, _COLUMNS, _GROUP = 64, 64, 2
_REACH = F(6.0)
_COARSE = F(0.01)


_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@inline
def _below(k):
    """A word with its lowest ``k`` bits set; ``k`` may lie outside 0..64."""
    k = min(max(k, 0), 64)
    return np.uint64(0) if k == 0 else _ONES >> np.uint64(64 - k)


@kernel
def load_block(x, s, since, until, turn, start, words, first, width, begin, end, pulses, signs):
    """Copy ``words`` words of columns ``first ...`` from ``start`` on, keeping the slots that each column
    sees.

    The words up to the next multiple of four are cleared.
    """
    for w in range(words):
        base = (start + w) << 6
        for j in range(width):
            lo, hi = max(since[first + j], begin) - base, min(until[first + j], end) - base
            mask = _below(hi) & ~_below(lo)
            pulses[w, j] = x[start + w, first + j] & mask
            signs[w, j] = s[start + w, first + j] ^ (_ONES if turn[first + j] else np.uint64(0))
    for w in range(words, (words + 3) & ~3):
        for j in range(width):
            pulses[w, j] = np.uint64(0)


@inline
def one_pulse(v, up, su, sd, mu, md, high, low, sigma, relative, xi):
    """The state after one pulse."""
    step = su + mu * v if up else sd + md * v
    base = step if relative else (su if up else sd)
    change = step + sigma * base * xi
    moved = v + change if up else v - change
    return F(min(max(moved, low), high))


@kernel
def _one_by_one(v, j, c, g, words, su, sd, mu, md, high, low, sigma, relative, slot, key):
    for w in range(words):
        rest = c[w, j]
        while rest:
            t = trailing_zeros(rest)
            rest &= rest - np.uint64(1)
            xi = normal(np.uint32(2 * (slot + 64 * w + np.int64(t))), key) if sigma > F(0.0) else F(0.0)
            v = one_pulse(
                v, bool((g[w, j] >> t) & np.uint64(1)), su, sd, mu, md, high, low, sigma, relative, xi
            )
    return v


@kernel
def _group(c, g, words, width, rest, ups, mean, var, top, floor, su, sd, mu, md, high, low, sigma, relative):
    """Mean path of a group of words, its extremes, and the variance of the noise along it; all [columns]."""
    for half in range(2 * words):
        w, shift = half >> 1, np.uint64(32 * (half & 1))
        most = np.uint64(0)
        for j in range(width):
            word = (c[w, j] >> shift) & np.uint64(0xFFFFFFFF)
            rest[j], ups[j] = np.uint32(word), np.uint32((g[w, j] >> shift) & np.uint64(0xFFFFFFFF))
            most = max(most, popcount(word))
        for _ in range(most):
            for j in range(width):
                r, v = rest[j], mean[j]
                low_bit = np.uint32(r & (np.uint32(0) - r))
                up = np.uint32(low_bit & ups[j]) != np.uint32(0)
                step = su[j] + mu[j] * v if up else -sd[j] - md[j] * v
                slope = mu[j] if up else -md[j]
                noise = relative * step if relative > F(0.0) else (su[j] if up else sd[j])
                moved = min(max(v + step, low[j]), high[j])
                scale = F(1.0) + slope
                spread = (
                    var[j] * (scale * scale + relative * sigma * sigma * slope * slope)
                    + sigma * sigma * noise * noise
                )
                there = r != np.uint32(0)
                mean[j] = moved if there else v
                var[j] = spread if there else var[j]
                top[j], floor[j] = max(top[j], mean[j]), min(floor[j], mean[j])
                rest[j] = np.uint32(r ^ low_bit)


@kernel
def pulse_rows(
    d,
    e,
    x,
    s,
    since,
    until,
    turn_x,
    turn_d,
    begin,
    end,
    v,
    given,
    su,
    sd,
    mu,
    md,
    high,
    low,
    scalars,
    key,
    first_row,
    last_row,
):
    """Run all pulses of the rows ``first_row`` to ``last_row`` in order; arguments as in
    ``update.update_rows``."""
    n = v.shape[1]
    sigma, relative = scalars[0], scalars[1]
    pulses, signs = np.empty((_WORDS, _COLUMNS), np.uint64), np.empty((_WORDS, _COLUMNS), np.uint64)
    c, g = np.empty((_GROUP, _COLUMNS), np.uint64), np.empty((_GROUP, _COLUMNS), np.uint64)
    rest, ups = np.empty(_COLUMNS, np.uint32), np.empty(_COLUMNS, np.uint32)
    mean, var = np.empty(_COLUMNS, np.float32), np.empty(_COLUMNS, np.float32)
    top, floor = np.empty(_COLUMNS, np.float32), np.empty(_COLUMNS, np.float32)
    for first in range(0, n, _COLUMNS):
        width = min(_COLUMNS, n - first)
        a = max(begin, since[first : first + width].min())
        b = min(end, until[first : first + width].max())
        if a >= b:
            continue
        for start in range(a >> 6, (b + 63) >> 6, _WORDS):
            words = min(_WORDS, ((b + 63) >> 6) - start)
            load_block(x, s, since, until, turn_x, start, words, first, width, a, b, pulses, signs)
            for i in range(first_row, last_row):
                k = line_key(key, i)
                flip = np.uint64(0xFFFFFFFFFFFFFFFF) if turn_d[i] else np.uint64(0)
                vi, gi = v[i, first:], given[i, first:]
                sui, sdi, mui, mdi = su[i, first:], sd[i, first:], mu[i, first:], md[i, first:]
                hi, lo = high[i, first:], low[i, first:]
                for w in range(0, words, _GROUP):
                    size = min(_GROUP, words - w)
                    some = np.uint64(0)
                    for q in range(size):
                        row, sign = d[start + w + q, i], e[start + w + q, i] ^ flip
                        for j in range(width):
                            both = row & pulses[w + q, j]
                            c[q, j], g[q, j] = both, sign ^ signs[w + q, j]
                            gi[j] += F(np.int64(popcount(both)))
                            some |= both
                    if some == np.uint64(0):
                        continue
                    for j in range(width):
                        mean[j], var[j], top[j], floor[j] = vi[j], F(0.0), vi[j], vi[j]
                    _group(
                        c,
                        g,
                        size,
                        width,
                        rest,
                        ups,
                        mean,
                        var,
                        top,
                        floor,
                        sui,
                        sdi,
                        mui,
                        mdi,
                        hi,
                        lo,
                        sigma,
                        relative,
                    )
                    if sigma == F(0.0):
                        for j in range(width):
                            vi[j] = mean[j]
                        continue
                    slot = (start + w) << 6
                    risky = 0
                    for j in range(width):
                        std = square_root(var[j])
                        reach = _REACH * std
                        coarse = relative * max(abs(mui[j]), abs(mdi[j])) > _COARSE
                        bad = top[j] + reach > hi[j] or floor[j] - reach < lo[j] or coarse
                        bad = bad and std > F(0.0)
                        risky += 1 if bad else 0
                        xi = normal(np.uint32(2 * slot + 0x80000000), mix(np.uint32(first + j), k))
                        top[j] = F(1.0) if bad else F(0.0)
                        mean[j] += std * xi
                    for j in range(width):
                        if risky and top[j] > F(0.0):
                            lane = mix(np.uint32(first + j), k)
                            mean[j] = _one_by_one(
                                vi[j], j, c, g, size, sui[j], sdi[j], mui[j], mdi[j], hi[j], lo[j], sigma,
                                relative > F(0.0), slot, lane,
                            )  # fmt: skip
                        vi[j] = mean[j]


@kernel
def give_rows(
    v, w, r, counts, columns, su, sd, mu, md, high, low, scalars, write, key, given, first_row, last_row
):
    """Give devices a known number of pulses, one after the other.

    Args:
        v: in and out, states [rows, n].
        w: in and out, visible weights [rows, n].
        r: references [rows, n].
        counts: pulses, positive up [rows, chosen columns].
        columns: the chosen columns.
        su, sd, mu, md, high, low: the devices [rows, n].
        scalars: noise of a pulse, whether it is relative.
        write: standard deviation of the write noise [w].
        key: 63-bit key.
        given: out, pulses of each row [rows].
        first_row: first row.
        last_row: one past the last row.
    """
    sigma, relative = scalars[0], scalars[1] > F(0.0)
    for i in range(first_row, last_row):
        k = line_key(key, i)
        row = counts[i]
        some = np.int64(0)
        for q in range(row.shape[0]):
            some += np.int64(abs(row[q]))  # whole numbers, so that the sum vectorises
        given[i] = F(some)
        if some == 0:
            continue
        for q in range(row.shape[0]):
            count = row[q]
            if count == F(0.0):
                continue
            j, up = columns[q], count > F(0.0)
            lane, state = mix(np.uint32(j), k), v[i, j]
            for t in range(np.int64(abs(count))):
                xi = normal(np.uint32(2 * t), lane) if sigma > F(0.0) else F(0.0)
                state = one_pulse(
                    state,
                    up,
                    su[i, j],
                    sd[i, j],
                    mu[i, j],
                    md[i, j],
                    high[i, j],
                    low[i, j],
                    sigma,
                    relative,
                    xi,
                )
            v[i, j] = state
            xi = normal(np.uint32(0x80000000), lane) if write > F(0.0) else F(0.0)
            w[i, j] = state - r[i, j] + write * xi
