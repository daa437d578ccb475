# mypy: ignore-errors
# ruff: noqa: PLR0912, PLR0915, SIM108 (one compiled loop reads better in one piece; constants choose whole statements)
"""The life of a block of devices through all windows of a mini-batch: pulses onto A, column reads, digital numbers, pulses
onto C, and again, in registers; the same draws as ``cpu.kernels.windows``."""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.bits import key_of, line_key, mix
from crossweep.engine.cuda.kernels.gather import count_slots, expect_samples
from crossweep.engine.cuda.kernels.numbers import of_instance
from crossweep.engine.cuda.kernels.pulse import device_normals, device_pairs, run_pieces
from crossweep.engine.cuda.kernels.respond import SHAPE, curves_of, load_cells, load_steps, move
from crossweep.engine.cuda.kernels.transfers import READS, SLOW, give, read_columns, train_pulses

_READ, _TRAIN, _WRITE = tl.constexpr(0x85EBCA6B), tl.constexpr(0x27D4EB2F), tl.constexpr(0x9E3779B1)
_BUFFER = tl.constexpr(8)  # numbers of how reads are written
_EDGE = tl.constexpr(0x27D4EB2F)
COUNT, MEAN, PULSE = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def counted(
    words, own, slots, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x, start, stop, begin, end,
    LEVEL: tl.constexpr, PIECES: tl.constexpr, SIGNED: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Ups and all pulses of a block between two slots, drawn or expected."""
    if LEVEL == MEAN:
        return expect_samples(
            words, own, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x, begin, end, R, C
        )  # fmt: skip
    else:
        return count_slots(
            words, own, slots, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x, start, stop,
            begin, end, PIECES, SIGNED, R, C,
        )  # fmt: skip


@triton.jit
def spread_of(
    squares,
    own,
    i,
    j,
    rows,
    columns,
    in_rows,
    in_columns,
    LEVEL: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
):
    """Variance of each expected count in units of its mean; 0 of counts that are known."""
    if LEVEL == MEAN:
        d = tl.load(squares[0] + own * rows + i, mask=in_rows, other=0.0)
        x = tl.load(squares[1] + own * columns + j, mask=in_columns, other=0.0)
        return tl.maximum(1.0 - d[:, None] * x[None, :], 0.0)
    else:
        return tl.zeros((R, C), tl.float32)


@triton.jit(
    do_not_specialize=[
        "b",
        "groups",
        "windows",
        "first_window",
        "many_windows",
        "pieces_room",
        "nodes",
        "slow_nodes",
    ]
)
def live(
    fast, words, squares, slots_of, words_of, counts, schedule, memory, factors, disturbance, pieces, slow, row_sign,
    kappas, keys, hit, shapes, curves, io, buffer, strengths,
    b, rows, columns, groups, windows, first_window, many_windows, pieces_room, nodes, slow_nodes,
    LEVEL: tl.constexpr, PIECES: tl.constexpr, SIGNED: tl.constexpr, WIDE: tl.constexpr, KIND: tl.constexpr,
    SLOW_KIND: tl.constexpr, PERFECT: tl.constexpr, BY_WEIGHT: tl.constexpr, DISTURBED: tl.constexpr,
    HELD: tl.constexpr, MEANS: tl.constexpr, PASTS: tl.constexpr, SECONDS: tl.constexpr, FACTORS: tl.constexpr,
    FORGET: tl.constexpr, NO_BUFFER: tl.constexpr, TRAINS: tl.constexpr, MANAGED: tl.constexpr, SHORTEN: tl.constexpr,
    BY_ROWS: tl.constexpr, OWN: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """The windows ``first_window`` to ``first_window + many_windows``, in place.

    Args:
        fast: A: states, visible weights, references, pulses so far [instances, rows, columns]; six matrices of its devices.
        words: as ``gather.count_slots``.
        squares: of rows [drawn, rows] and columns [drawn, columns]; of expected pulses.
        slots_of: first slot of each sample [drawn, b + 1] (int32).
        words_of: which of the drawn an instance uses [instances] (int32).
        counts: of ``counts``.
        schedule: since, until [windows, columns] (int32); earliest and latest of each group of 16 columns
            [windows, groups] (int32); reads, gate [windows, columns]; sign, gain, fresh [instances, windows, columns];
            share [windows, columns] (float32); in how many parts devices respond [instances, windows] (int32). Gate and
            share are [instances, windows, columns] if ``OWN``.
        memory: held, mean, past, second [instances, rows, columns].
        factors: roots of the rows [instances, rows] and columns [instances, columns]; out, sums of squares, for each block
            of columns [instances, blocks, rows], for each block of rows [instances, blocks, columns].
        disturbance: [instances, windows, rows, columns].
        pieces: see ``pulse.run_pieces`` [drawn, pieces_room]; numbers of pieces [drawn] (int32).
        slow: C, as ``fast``.
        row_sign: choppers of the rows, over their unit where reads are normalised, then of the pulses [2, instances, rows].
        kappas: [instances].
        keys: [instances, 2] (int32).
        hit: out, whether a read of a column sent pulses [instances, windows, columns] (int8).
        shapes: of A and of C, see ``respond``.
        curves: of A and of C.
        io: ``engine.numbers.OneHot``, see ``numbers``.
        buffer: ``engine.numbers.Writing``, likewise.
        strengths: of trains over C's step [instances]: a tensor, since a learning rate changes it.
    """
    block, band, k = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    i, j = band * R + tl.arange(0, R), block * C + tl.arange(0, C)
    in_rows, in_columns = i < rows, j < columns
    inside = in_rows[:, None] & in_columns[None, :]
    group = block * C // 16
    place = (k.to(tl.int64) * rows + i[:, None]) * columns + j[None, :]
    own = tl.load(words_of + k).to(tl.int64)
    slots = slots_of + own * (b + 1)
    low, high_half = key_of(keys, k)
    shape, kappa = of_instance(shapes[0], k, SHAPE), tl.load(kappas + k)
    slow_shape = of_instance(shapes[1], k, SHAPE)
    table, slow_table = curves_of(curves[0], shape, nodes), curves_of(curves[1], slow_shape, slow_nodes)
    io, buffer, strength = of_instance(io, k, READS), of_instance(buffer, k, _BUFFER), tl.load(strengths + k)
    device = (fast[4], fast[5], fast[6], fast[7], fast[8], fast[9])
    cells = load_cells(device, place, inside, KIND)
    spread = spread_of(squares, own, i, j, rows, columns, in_rows, in_columns, LEVEL, R, C)
    v, w = tl.load(fast[0] + place, mask=inside, other=0.0), tl.load(fast[1] + place, mask=inside, other=0.0)
    reference = tl.load(fast[2] + place, mask=inside, other=0.0)
    given = tl.zeros((R, C), tl.float32)
    row = tl.load(row_sign + k * rows + i, mask=in_rows, other=1.0)
    turned = tl.load(row_sign + (tl.num_programs(2) + k) * rows + i, mask=in_rows, other=1.0)
    flip_d = 0 - (turned < 0).to(tl.int32)
    held, mean = tl.zeros((R, C), tl.float32), tl.zeros((R, C), tl.float32)
    past, second = tl.zeros((R, C), tl.float32), tl.zeros((R, C), tl.float32)
    if HELD:
        held = tl.load(memory[0] + place, mask=inside, other=0.0)
    if MEANS:
        mean = tl.load(memory[1] + place, mask=inside, other=0.0)
    if PASTS:
        past = tl.load(memory[2] + place, mask=inside, other=0.0)
    if SECONDS:
        second = tl.load(memory[3] + place, mask=inside, other=0.0)
    row_root, column_root = tl.zeros((R,), tl.float32), tl.zeros((C,), tl.float32)
    row_sum, column_sum = tl.zeros((R,), tl.float32), tl.zeros((C,), tl.float32)
    if FACTORS:
        row_root = tl.load(factors[0] + k * rows + i, mask=in_rows, other=0.0)
        column_root = tl.load(factors[1] + k * columns + j, mask=in_columns, other=0.0)
    for m in range(first_window, first_window + many_windows):
        lines = m * columns + j
        of_each = (k.to(tl.int64) * windows + m) * columns + j
        of_rule = lines
        if OWN:
            of_rule = of_each
        since = tl.load(schedule[0] + lines, mask=in_columns, other=2147483647)
        until = tl.load(schedule[1] + lines, mask=in_columns, other=0)
        start, stop = tl.load(schedule[2] + m * groups + group), tl.load(schedule[3] + m * groups + group)
        reads = tl.load(schedule[4] + lines, mask=in_columns, other=0.0)
        sign = tl.load(schedule[6] + of_each, mask=in_columns, other=1.0)
        flip_x = 0 - (sign < 0).to(tl.int32)
        earliest, latest = start, stop
        if LEVEL == COUNT:
            earliest, latest = tl.load(slots + start), tl.load(slots + stop)
        number = tl.full((), 0, tl.uint32) + m
        if earliest < latest:
            if LEVEL == PULSE:
                window_key = low ^ line_key(low, high_half, number)
                v, n = run_pieces(
                    v, words, own, (pieces[0] + own * pieces_room, pieces[1] + own * pieces_room),
                    tl.load(pieces[2] + own), slots, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d,
                    flip_x, load_steps(device, place, inside), cells, shape, window_key, high_half, PIECES, SIGNED, R, C,
                )  # fmt: skip
                given += n
                shown = v - reference
                if shape[2] > 0:
                    key = mix(
                        tl.full((), _WRITE, tl.uint32),
                        line_key(window_key, high_half, tl.full((), 0, tl.uint32)),
                    )
                    _, other = device_pairs(i, j, columns, key)
                    w = tl.where(n > 0, shown + shape[2] * other, w)
                else:
                    w = shown
            else:
                parts = tl.load(schedule[10] + k * windows + m)
                for part in range(0, parts):
                    if parts == 1:
                        at = (k.to(tl.int64) * many_windows + m - first_window) * rows * columns
                        at = at + i[:, None] * columns + j[None, :]
                        if LEVEL == MEAN:
                            behind = tl.num_programs(2).to(tl.int64) * many_windows * rows * columns
                            up = tl.load(counts + at, mask=inside, other=0.0)
                            n = tl.load(counts + behind + at, mask=inside, other=0.0)
                        else:
                            both = tl.load(counts + at, mask=inside, other=0)
                            if WIDE:
                                up, n = (both >> 32).to(tl.float32), (both & 0xFFFFFFFF).to(tl.float32)
                            else:
                                up = ((both >> 16) & 0xFFFF).to(tl.float32)
                                n = (both & 0xFFFF).to(tl.float32)
                    else:
                        length = (latest - earliest).to(tl.int64)
                        begin = earliest + (length * part // parts).to(tl.int32)
                        end = earliest + (length * (part + 1) // parts).to(tl.int32)
                        up, n = counted(
                            words, own, slots, b, i, j, rows, columns, in_rows, in_columns, since, until, flip_d, flip_x,
                            start, stop, begin, end, LEVEL, PIECES, SIGNED, R, C,
                        )  # fmt: skip
                    key = line_key(low, high_half, number * 65536 + part)
                    if shape[2] > 0:
                        xi, other = device_pairs(i, j, columns, key)
                    else:
                        xi = device_normals(i, j, columns, key)
                        other = xi
                    word = mix((2 * (i[:, None] * columns + j[None, :])).to(tl.uint32) + _EDGE, key)
                    v = move(v, up, n, cells, shape, table, nodes, kappa, spread, xi, word, KIND)
                    given += n
                    if shape[2] > 0:
                        w = tl.where(n > 0, v - reference + shape[2] * other, w)
                    else:
                        w = v - reference
        if tl.max(reads, 0) > 0:
            key = line_key(low, high_half, number)
            gain = tl.load(schedule[7] + of_each, mask=in_columns, other=0.0)
            read = ((reads > 0) & in_columns)[None, :]
            added = tl.zeros((R, C), tl.float32)
            if DISTURBED:
                from_others = ((k.to(tl.int64) * windows + m) * rows + i[:, None]) * columns + j[None, :]
                added = tl.load(disturbance + from_others, mask=inside, other=0.0)
            value = read_columns(
                w, added, i, j, columns, io, mix(tl.full((), _READ, tl.uint32), key), PERFECT, BY_WEIGHT
            )
            if TRAINS:
                weight = tl.abs(gain)[None, :]
                average = value
                if HELD:
                    average = (1.0 - weight) * held + weight * value
                    held = tl.where(read, average, held)
                out = tl.where(tl.abs(average) > buffer[6], average, 0.0)
                out = tl.where(
                    read & inside, row[:, None] * tl.where(gain < 0, -1.0, 1.0)[None, :] * out, 0.0
                )
                train_key = mix(tl.full((), _TRAIN, tl.uint32), key)
                size = train_pulses(
                    out, reads, i, j, columns, strength, buffer[1], buffer[7], train_key, MANAGED, SHORTEN, BY_ROWS
                )  # fmt: skip
                wanted = tl.where((size > 0) & inside, tl.where(out > 0, 1.0, -1.0), 0.0)
                sent = give(
                    slow, place, wanted, size, i, j, columns, slow_shape, slow_table, slow_nodes,
                    mix(tl.full((), SLOW, tl.uint32), train_key), SLOW_KIND,
                )  # fmt: skip
                tl.store(
                    hit + of_each,
                    tl.max(sent.to(tl.int8), 0),
                    mask=in_columns & (tl.max(sent.to(tl.int32), 0) > 0),
                )
            else:
                if MEANS:
                    fresh = tl.load(schedule[8] + of_each, mask=in_columns, other=0.0)[None, :] > 0
                    past = tl.where(read & fresh, mean, past)
                    mean = tl.where(read, (1.0 - buffer[3]) * mean + buffer[3] * value, mean)
                    value = value - past
                if SECONDS:
                    weight = tl.load(schedule[9] + of_rule, mask=in_columns, other=1.0)[None, :]
                    square = (1.0 - weight) * second + weight * value * value
                    second = tl.where(read, square, second)
                    value = value / (tl.sqrt(square) + buffer[4])
                if FACTORS:
                    root = row_root[:, None] * column_root[None, :]
                    square = tl.where(read & inside, value * value, 0.0)
                    row_sum += tl.sum(square, 1)
                    column_sum += tl.sum(square, 0)
                    value = tl.where(root > 0, value / (root + buffer[4]), 0.0)
                filled = row[:, None] * gain[None, :] * value
                if not NO_BUFFER:
                    filled += held
                n = tl.minimum(tl.maximum(filled, -buffer[1]), buffer[1]).to(tl.int32).to(tl.float32)
                if FORGET:
                    rest = buffer[0] * filled
                else:
                    rest = filled - (1.0 - buffer[0]) * n
                rest = tl.minimum(tl.maximum(rest, -buffer[2]), buffer[2])
                held = tl.where(read, tl.where(n != 0, rest, filled), held)
                gate = tl.load(schedule[5] + of_rule, mask=in_columns, other=0.0)[None, :]
                wanted = tl.where(read & inside, n * gate, 0.0)
                if tl.max(tl.abs(wanted)) > 0:
                    steps = buffer[5] * tl.abs(wanted)
                    size = tl.minimum((steps + 12582912.0) - 12582912.0, buffer[1])
                    sent = give(
                        slow, place, wanted, size, i, j, columns, slow_shape, slow_table, slow_nodes,
                        mix(tl.full((), SLOW, tl.uint32), key), SLOW_KIND,
                    )  # fmt: skip
                    any_sent = tl.max(sent.to(tl.int32), 0)
                    tl.store(hit + of_each, any_sent.to(tl.int8), mask=in_columns & (any_sent > 0))
    tl.store(fast[0] + place, v, mask=inside)
    tl.store(fast[1] + place, w, mask=inside)
    tl.store(fast[3] + place, tl.load(fast[3] + place, mask=inside, other=0.0) + given, mask=inside)
    if HELD:
        tl.store(memory[0] + place, held, mask=inside)
    if MEANS:
        tl.store(memory[1] + place, mean, mask=inside)
    if PASTS:
        tl.store(memory[2] + place, past, mask=inside)
    if SECONDS:
        tl.store(memory[3] + place, second, mask=inside)
    if FACTORS:
        at = (k.to(tl.int64) * tl.num_programs(0) + block) * rows + i
        tl.store(factors[2] + at, row_sum + tl.load(factors[2] + at, mask=in_rows, other=0.0), mask=in_rows)
        at = (k.to(tl.int64) * tl.num_programs(1) + band) * columns + j
        tl.store(
            factors[3] + at,
            column_sum + tl.load(factors[3] + at, mask=in_columns, other=0.0),
            mask=in_columns,
        )


@triton.jit(do_not_specialize=["b", "room", "pieces_room", "nodes"])
def update(
    v_in, given_out, ups_out, device, words, squares, slots_of, words_of, edges, segments, since, until, turn_x, turn_d,
    pieces, kappas, keys, shape, curves, b, rows, columns, room, pieces_room, nodes,
    LEVEL: tl.constexpr, PIECES: tl.constexpr, SIGNED: tl.constexpr, KIND: tl.constexpr, MIRROR: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """One pulsed update of a block, segment by segment, in place; the same draws as ``cpu.kernels.update``.

    Args:
        v_in: in and out, states [instances, rows, columns].
        given_out: out, pulses of each device, likewise.
        ups_out: out, those that go up, likewise, where ``MIRROR``.
        edges: slots between which devices respond in one go [instances, room] (int32).
        segments: how many of them [instances] (int32).
        since: first sample each column sees [columns] (int32).
        until: one past the last one.
        turn_x: signs of the columns [instances, columns].
        turn_d: signs of the rows [instances, rows].
        Others as ``live``.
    """
    block, band, k = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    i, j = band * R + tl.arange(0, R), block * C + tl.arange(0, C)
    in_rows, in_columns = i < rows, j < columns
    inside = in_rows[:, None] & in_columns[None, :]
    place = (k.to(tl.int64) * rows + i[:, None]) * columns + j[None, :]
    own = tl.load(words_of + k).to(tl.int64)
    slots = slots_of + own * (b + 1)
    low, high_half = key_of(keys, k)
    first = tl.load(since + j, mask=in_columns, other=2147483647)
    last = tl.load(until + j, mask=in_columns, other=0)
    flip_x = 0 - (tl.load(turn_x + k * columns + j, mask=in_columns, other=1.0) < 0).to(tl.int32)
    flip_d = 0 - (tl.load(turn_d + k * rows + i, mask=in_rows, other=1.0) < 0).to(tl.int32)
    shape = of_instance(shape, k, SHAPE)
    table = curves_of(curves, shape, nodes)
    v = tl.load(v_in + place, mask=inside, other=0.0)
    cells = load_cells(device, place, inside, KIND)
    given, ups = tl.zeros((R, C), tl.float32), tl.zeros((R, C), tl.float32)
    start, stop = tl.min(first, 0), tl.max(last, 0)
    if start < stop:
        if LEVEL == PULSE:
            v, given = run_pieces(
                v, words, own, (pieces[0] + own * pieces_room, pieces[1] + own * pieces_room), tl.load(pieces[2] + own),
                slots, b, i, j, rows, columns, in_rows, in_columns, first, last, flip_d, flip_x,
                load_steps(device, place, inside), cells, shape, low, high_half, PIECES, SIGNED, R, C,
            )  # fmt: skip
        else:
            kappa = tl.load(kappas + k)
            spread = spread_of(squares, own, i, j, rows, columns, in_rows, in_columns, LEVEL, R, C)
            earliest, latest, s = start, stop, start
            if LEVEL == COUNT:
                earliest, latest = tl.load(slots + start), tl.load(slots + stop)
            for segment in range(0, tl.load(segments + k)):
                begin = tl.maximum(tl.load(edges + k * room + segment), earliest)
                end = tl.minimum(tl.load(edges + k * room + segment + 1), latest)
                if begin < end:
                    to = stop
                    if LEVEL == COUNT:  # the samples that hold these slots
                        while (s + 1 < stop) & (tl.load(slots + s + 1) <= begin):
                            s += 1
                        to = s + 1
                        while (to < stop) & (tl.load(slots + to) < end):
                            to += 1
                    up, n = counted(
                        words, own, slots, b, i, j, rows, columns, in_rows, in_columns, first, last, flip_d, flip_x, s, to,
                        begin, end, LEVEL, PIECES, SIGNED, R, C,
                    )  # fmt: skip
                    key = line_key(low, high_half, tl.full((), 0, tl.uint32) + segment)
                    word = mix((2 * (i[:, None] * columns + j[None, :])).to(tl.uint32) + _EDGE, key)
                    xi = device_normals(i, j, columns, key)
                    v = move(v, up, n, cells, shape, table, nodes, kappa, spread, xi, word, KIND)
                    given += n
                    ups += up
        tl.store(v_in + place, v, mask=inside)
    tl.store(given_out + place, given, mask=inside)
    if MIRROR:
        tl.store(ups_out + place, ups, mask=inside)
