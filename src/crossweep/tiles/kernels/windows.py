# mypy: ignore-errors
# ruff: noqa: PLR0912, PLR0915 (one compiled loop over blocks and windows reads better in one piece)
"""All windows of a mini-batch of the Tiki-Taka family in one call.

Devices do not interact, so a block of devices goes through the whole mini-batch alone: pulses onto A, column read,
buffer, pulse onto C, and again, while its state stays in the cache. Where reads are written by pulse trains, the
largest value of a column decides about all its pulses: then all blocks of a column go through one window after the other.
"""

import numpy as np

from crossweep.tiles.blocks import LANES, ROWS, SIZE
from crossweep.tiles.kernels.bits import as_bits, as_float, line_key, mix, square_root
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
    ask_for,
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
from crossweep.tiles.kernels.counters import count_tall, fetch, room_for_counts, room_to_count
from crossweep.tiles.kernels.exponential import exponential_pulse, load_cells, move
from crossweep.tiles.kernels.jit import kernel
from crossweep.tiles.kernels.maths import normal
from crossweep.tiles.kernels.periphery import nearest
from crossweep.tiles.kernels.sequence import one_pulse
from crossweep.tiles.kernels.vectors import fetch_ahead

F = np.float32
_READ, _SLOW, _TRAIN, _SINGLE = (np.uint32(k) for k in (0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 0x165667B1))


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
    wants = np.empty(ROWS, np.int64)
    chosen = 0
    for i in range(rows):
        some = np.uint32(0)
        for j in range(LANES):
            some |= as_bits(F(abs(f[VALUE + i * LANES + j])))
        if some != np.uint32(
            0
        ):  # C was not looked at for long: ask for all that is needed before using any of it
            wants[chosen] = i
            chosen += 1
            for matrix in (v, w, r, su, sd, mu, md, high, low):
                fetch_ahead(matrix, row + i, first)
    for i in wants[:chosen]:
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
def _smooth(f, reads, gain, row_sign, train, row, first, wanted, most):
    """What is to be written of each read goes to ``wanted``, and the largest of each column to ``most``; the buffer, or the
    tracked symmetry point, moves on.
    """
    weight, least, excess, buffered = train[6], train[7], train[8] > F(0.0), train[9] > F(0.0)
    place = row // ROWS * SIZE
    for i in range(ROWS):
        sign = row_sign[min(row + i, row_sign.shape[0] - 1)]
        for j in range(LANES):
            e = i * LANES + j
            read, v, before = reads[first + j] > F(0.0), f[VALUE + e], f[HIDDEN + e]
            h = (F(1.0) - weight) * before + weight * v if buffered else v
            f[HIDDEN + e] = h if read else before
            own = v - h if excess else (h if abs(h) > least else F(0.0))
            own = sign * gain[first + j] * own if read and row + i < row_sign.shape[0] else F(0.0)
            wanted[place + e] = own
            most[j] = max(most[j], as_bits(F(abs(own))))


@kernel
def _chances(most, reads, train, first, lengths, single, scales):
    """Slots of each column's trains, chance of a pulse of its one-hot side per slot, and scale of the vector's chances.

    Update management is that of ``batch.balance``.
    """
    drive, longest, managed, shorten = train[0], train[1], train[2] > F(0.0), train[3] > F(0.0)
    grad_scale, as_input = train[4], train[5] > F(0.0)
    for j in range(LANES):
        top = as_float(most[j])
        lengths[j], one, vector = longest, square_root(F(drive / longest)), square_root(F(drive / longest))
        if managed:
            x, d = (top, grad_scale) if as_input else (F(1.0), top * grad_scale)
            k = drive * x * d
            if shorten:
                lengths[j] = min(F(np.ceil(F(k * F(1 - 1e-6)))), longest)
            if k > F(0.0):
                both = square_root(F(drive / max(lengths[j], F(1.0))))
                ratio = square_root(F(x / (d * (longest / max(k, longest)))))
                one, vector = (both * ratio, both / ratio) if as_input else (both / ratio, both * ratio)
        if reads[first + j] <= F(0.0) or top == F(0.0) or drive == F(0.0):
            lengths[j] = F(0.0)
        single[j], scales[j] = min(one, F(1.0)), vector


@kernel
def _pulse_columns(f, wanted, most, counts, chances, reads, train, hit, slow, slow_scalars, first, key):
    """Write the columns that were read, each by one pair of pulse trains; how many pulses C got."""
    lengths, single, scales, limits = chances
    _chances(most, reads, train, first, lengths, single, scales)
    slots, (rows, n) = np.int64(lengths.max()), slow[0].shape
    if slots == 0:
        return 0
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
    given = 0
    for row in range(0, rows, ROWS):
        place = row // ROWS * SIZE
        for e in range(SIZE):
            count = F(counts[place + e])
            f[VALUE + e] = count if wanted[place + e] > F(0.0) else -count
        given += _give(
            f, hit, slow, slow_scalars, slow_scalars[3], F(1.0), F(2.0**30), row, first, mix(_SLOW, key)
        )
    return given


@kernel
def tables(slots, since, until, sign, reads, scale, fresh, gate, n):
    """A schedule as ``window_blocks`` takes it, from samples to slots and in whole blocks of columns; see
    ``windows.Schedule``."""
    shape = since.shape[0], n
    since_slot, until_slot, turned = (
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.bool_),
    )
    read, gain = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    renewed, open_gate = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for m in range(since.shape[0]):
        for j in range(since.shape[1]):
            since_slot[m, j], until_slot[m, j] = slots[since[m, j]], slots[until[m, j]]
            turned[m, j] = sign[m, j] < F(0.0)
            read[m, j], gain[m, j] = F(reads[m, j]), sign[m, j] * scale[m, j]
            renewed[m, j], open_gate[m, j] = F(fresh[m, j]), gate[m, j]
    return since_slot, until_slot, turned, read, gain, renewed, open_gate


@kernel
def _stretches(since, until, parts, first, stop):
    """What a block of columns goes through, in order: window, part, first slot, one past the last, and whether the window
    ends there [stretches, 5]."""
    many = 0
    for m in range(since.shape[0]):
        many += max(np.int64(parts[m]), 1)
    out = np.zeros((many, 5), np.int64)
    n = 0
    for m in range(since.shape[0]):
        earliest, latest = since[m, first:stop].min(), until[m, first:stop].max()
        wanted = np.int64(parts[m]) if latest > earliest else np.int64(1)
        for part in range(wanted):
            out[n, 0], out[n, 1] = m, part
            out[n, 2] = earliest + (latest - earliest) * part // wanted
            out[n, 3] = earliest + (latest - earliest) * (part + 1) // wanted
            out[n, 4] = part == wanted - 1
            n += 1
    return out[:n]


@kernel
def window_blocks(
    lines, squares, turn_d, plan, parts, fast, fast_scalars, io, buffers, digest, train, slow, slow_scalars, row_sign, key,
    out, start, end,
):  # fmt: skip
    """Run the column blocks ``start`` to ``end``, in place.

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
        buffers: H, or the tracked symmetry point; running mean, subtracted mean [rows, n]; each may be empty.
        digest: as ``digital.digest_rows``, then the pulses of C for each time that H passes its threshold.
        train: empty; or, where reads are written by pulse trains, as ``windows.PulsedWrite.numbers``.
        slow: C, as ``fast`` but in one tuple.
        slow_scalars: as ``fast_scalars``.
        row_sign: chopper of each row [rows].
        key: 63-bit key.
        out: pulses of A and of C [2, column blocks], and whether a read of a column sent any [windows, n] (uint8).
        start: first column block.
        end: one past the last.
    """
    since, until, turn_x, reads, gain, fresh, gate = plan
    states, device = fast
    hidden, mean, past = buffers
    given_out, hit = out
    write, tall = fast_scalars[3], lines[6].shape[0] > 0
    buffered, means, by_trains = hidden.shape[0] > 0, mean.shape[0] > 0, train.shape[0] > 0
    rows, n = states[0].shape
    f, ids, room = scratch()
    counters = room_to_count(tall)
    room_to_write = -(-rows // ROWS) * SIZE if by_trains else 0
    wanted, pulses = np.empty(room_to_write, np.float32), np.empty(room_to_write, np.int32)
    most, floats = np.zeros(LANES, np.uint32), np.empty((3, LANES), np.float32)
    chances = floats[0], floats[1], floats[2], np.empty(room_to_write, np.uint32)
    for column in range(start, end):
        first = column * LANES
        todo = _stretches(since, until, parts, first, min(first + LANES, n))
        counts = room_for_counts(rows, 1 if by_trains else todo.shape[0], tall)
        for base in range(0, todo.shape[0], counts.shape[0]):
            now = todo[base : base + counts.shape[0]]
            most[:] = np.uint32(0)
            if tall:
                for k in range(now.shape[0]):
                    m, begin, end_slot = now[k, 0], now[k, 2], now[k, 3]
                    if begin < end_slot:
                        count_tall(
                            lines,
                            since[m],
                            until[m],
                            turn_x[m],
                            turn_d,
                            first,
                            begin,
                            end_slot,
                            counters,
                            counts[k],
                        )
            for row in range(0, rows, ROWS):
                load_cells(f, device, fast_scalars, row, first)
                load(f, V, states[0], row, first, F(0.0))
                load(f, W, states[1], row, first, F(0.0))
                load(f, R, states[2], row, first, F(0.0))
                if buffered:
                    load(f, HIDDEN, hidden, row, first, F(0.0))
                if means:
                    load(f, MEAN, mean, row, first, F(0.0))
                    load(f, PAST, past, row, first, F(0.0))
                if squares[0].shape[0] > 0:
                    load_spread(f, squares[0], squares[1], row, first)
                number(ids, row, first, n)
                ask_for((*device, *states), row + ROWS, first)
                for k in range(now.shape[0]):
                    m, part, begin, end_slot = now[k, 0], now[k, 1], now[k, 2], now[k, 3]
                    if begin >= end_slot:
                        some = False
                    elif tall:
                        some = fetch(f, counts[k], row)
                    else:
                        some = pulses_of(
                            lines, since[m], until[m], turn_x[m], turn_d, row, first, begin, end_slot, room, f
                        )
                    if some:
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
                        given_out[0, column] += total / 64.0
                    if now[k, 4] == 0 or reads[m, first : first + LANES].max() <= F(0.0):
                        continue
                    own = line_key(key, m)
                    if io[0] < F(0.0):
                        for e in range(SIZE):
                            f[VALUE + e] = f[W + e]
                    else:
                        _read(f, ids, io, mix(_READ, own))
                    if by_trains:
                        _smooth(f, reads[m], gain[m], row_sign, train, row, first, wanted, most)
                        continue
                    if means:
                        _excess(f, reads[m], fresh[m], digest[5], first)
                    if _digest(f, reads[m], gain[m], gate[m], row_sign, digest, row, first):
                        given_out[1, column] += _give(
                            f, hit[m], slow, slow_scalars, slow_scalars[3], digest[6], digest[2], row, first,
                            mix(_SLOW, own),
                        )  # fmt: skip
                store(f, V, states[0], row, first)
                store(f, W, states[1], row, first)
                if buffered:
                    store(f, HIDDEN, hidden, row, first)
                if means:
                    store(f, MEAN, mean, row, first)
                    store(f, PAST, past, row, first)
            m = now[0, 0]
            if by_trains and now[0, 4] == 1 and reads[m, first : first + LANES].max() > F(0.0):
                given_out[1, column] += _pulse_columns(
                    f, wanted, most, pulses, chances, reads[m], train, hit[m], slow, slow_scalars, first,
                    mix(_TRAIN, line_key(key, m)),
                )  # fmt: skip
