# mypy: ignore-errors
"""Counts of coincidences for a block of columns, and in tall crossbars by counters in bit planes, 256 rows to a word.

A slot of the rows is a word of 256 bits; a column adds up the words of the slots in which it pulses itself, and skips the
others. Plane ``p`` of the sum holds bit ``p`` of each row's count, so that eight words are added by seven full adders of
five logical operations, whatever the number of rows. Against a popcount for each device (``vectors.count_block``) this
takes about a third.

Source: carry-save adders as in Mula, Kurz, Lemire, "Faster population counts using AVX2 instructions" (Comput. J. 61:111,
2018), here with a counter for every row; places of set bits from a table as in Lemire's "simdjson" (VLDB J. 28:941, 2019).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from crossweep.engine.cpu.blocks import BAND, LANES, ROWS, SIZE, STRIDE
from crossweep.engine.cpu.kernels.bits import as_bits, popcount
from crossweep.engine.cpu.kernels.block import ALL, UP, load_words, pulses_of
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.vectors import data, load_vector, many, store_vector

F = np.float32
_COLUMN_WORDS = 32  # pulse words of a column that are looked at in one go: counts stay below 2^12
_PIECE = 6  # and of these, so many while the rows' slots stay in the first-level cache
_SLOTS = 64 * _COLUMN_WORDS
_GROUPS = _SLOTS // 8 + -(-_COLUMN_WORDS // _PIECE)  # eights of a column at most: each piece rounds up
_EIGHTS = -(-_GROUPS // 8) * 8
_KEPT = 1 << 16  # counts that are kept at a time
_LEVELS = 4  # of adders: each leaves three planes and an eighth of its input
_PLANES = 3 * _LEVELS
_HALF = BAND // 64  # machine words of one sign
_LINE = 2 * _HALF  # machine words of one slot: rows with a negative value, then those with a positive one
_I1, _I32, _I64, _F32 = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.FloatType()
_BITS, _NUMBERS, _FLOATS = ir.VectorType(_I64, _HALF), ir.VectorType(_I32, LANES), ir.VectorType(_F32, LANES)


@kernel
def turn_over(pulses, signs, out, first, last):
    """Slots of the rows as words: the pulse words of 64 lines each, with bits and lines exchanged.

    Args:
        pulses: pulses of the rows [words, rows, in whole blocks].
        signs: their signs, likewise.
        out: out, [bands, 64 words, 8], zero on entry: machine words of a slot, as ``_LINE``.
        first: first pulse word.
        last: one past the last.
    """
    a, b = np.empty(64, np.uint64), np.empty(64, np.uint64)
    for w in range(first, last):
        for start in range(0, pulses.shape[1], 64):
            lines = min(64, pulses.shape[1] - start)
            for k in range(64):
                a[k] = b[k] = np.uint64(0)
            for k in range(lines):
                p, s = pulses[w, start + k], signs[w, start + k]
                a[k], b[k] = p & s, p & ~s
            _exchange(a)
            _exchange(b)
            band, word = start // BAND, start % BAND // 64
            for k in range(64):
                out[band, 64 * w + k, word] = a[k]
                out[band, 64 * w + k, _HALF + word] = b[k]


@kernel
def _exchange(a):
    """Transpose a square of 64 by 64 bits: halves, quarters, ... change places."""
    step, mask = 32, np.uint64(0x00000000FFFFFFFF)
    while step > 0:
        shift = np.uint64(step)
        for base in range(0, 64, 2 * step):
            for k in range(base, base + step):
                low, high = a[k], a[k + step]
                moved = ((low >> shift) ^ high) & mask
                a[k + step] = high ^ moved
                a[k] = low ^ (moved << shift)
        step >>= 1
        mask ^= mask << np.uint64(step)


@intrinsic
def _add_eights(typingctx: Any, source: Any, places: Any, groups: Any, carries: Any, at: Any, planes: Any,
                first: Any) -> Any:  # fmt: skip
    """Add up words of ``source``, eight at a time, with two counters: of the words that start at each place, and of those
    in the other half of the same slot.

    Args:
        source: machine words, flat.
        places: where the words start, int32, multiples of the words of a half [8 * groups].
        groups: number of groups.
        carries: out, a slot of machine words of weight 8 for each group, flat, from ``at`` on.
        at: see there.
        planes: in and out, sums of weight 1, 2 and 4, a slot each, flat, from ``first`` on.
        first: see there.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, places, carries, planes = (
            data(context, builder, signature.args[k], args[k])[0] for k in (0, 1, 3, 5)
        )
        half, line, eight = (ir.Constant(_I64, k) for k in (_HALF, _LINE, 8))
        sums = [[cgutils.alloca_once(builder, _BITS) for _ in range(3)] for _ in range(2)]
        where = {
            (side, k): builder.add(args[6], ir.Constant(_I64, k * _LINE + side * _HALF))
            for side in range(2)
            for k in range(3)
        }
        for (side, k), to in where.items():
            builder.store(load_vector(builder, _BITS, planes, to, 8), sums[side][k])

        def full(total: Any, a: Any, b: Any) -> Any:
            """Add two words to a plane; what is carried."""
            before = builder.load(total)
            odd = builder.xor(before, a)
            builder.store(builder.xor(odd, b), total)
            return builder.or_(builder.and_(before, a), builder.and_(odd, b))

        with cgutils.for_range(builder, args[2]) as loop:
            at = builder.mul(loop.index, eight)
            starts = [
                builder.load(builder.gep(places, [builder.add(at, ir.Constant(_I64, k))])) for k in range(8)
            ]
            starts = [builder.zext(start, _I64) for start in starts]
            for side, kept in enumerate(sums):
                if side == 1:
                    starts = [builder.xor(start, half) for start in starts]
                words = [load_vector(builder, _BITS, source, start, 8) for start in starts]
                for total in kept:
                    words = [full(total, a, b) for a, b in zip(words[::2], words[1::2], strict=True)]
                to = builder.add(
                    args[4], builder.add(builder.mul(loop.index, line), ir.Constant(_I64, side * _HALF))
                )
                store_vector(builder, words[0], carries, to, 8)
        for (side, k), to in where.items():
            store_vector(builder, builder.load(sums[side][k]), planes, to, 8)
        return context.get_dummy_value()

    return types.void(source, places, types.int64, carries, types.int64, planes, types.int64), codegen


@intrinsic
def _list_byte(typingctx: Any, table: Any, byte: Any, base: Any, out: Any, n: Any) -> Any:
    """Write ``base + table[byte]``, eight numbers, to ``out`` from ``n`` on; ``table`` uint8 [256 * 8], ``out`` int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table, out = (data(context, builder, signature.args[k], args[k])[0] for k in (0, 3))
        small, wide = ir.VectorType(ir.IntType(8), 8), ir.VectorType(_I32, 8)
        entries = load_vector(builder, small, table, builder.mul(args[1], ir.Constant(_I64, 8)), 1)
        base = many(builder, builder.trunc(args[2], _I32), wide)
        store_vector(builder, builder.add(builder.zext(entries, wide), base), out, args[4], 4)
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64, out, types.int64), codegen


@intrinsic
def _unpack(
    typingctx: Any, planes: Any, used: Any, block: Any, turned: Any, row: Any, out: Any, place: Any
) -> Any:
    """Counts of a block from the planes of its columns.

    Args:
        planes: [planes, 2 signs, 8 blocks, 16 columns], 32-bit words of 32 rows, flat.
        used: number of planes.
        block: which of the blocks.
        turned: rows whose sign is turned, bool [all rows].
        row: first row of the block.
        out: in and out, added to: ups from ``place`` on, all pulses ``STRIDE`` behind.
        place: see there.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes, turned, out = (data(context, builder, signature.args[k], args[k])[0] for k in (0, 3, 5))
        used, block, row, place = args[1], args[2], args[4], args[6]
        sums = [[cgutils.alloca_once(builder, _NUMBERS) for _ in range(2)] for _ in range(2)]
        one, eight, lanes = (ir.Constant(_I64, k) for k in (1, 8, LANES))
        bytewise = ir.Constant(_NUMBERS, [0x01010101] * LANES)
        byte = ir.Constant(_NUMBERS, [0xFF] * LANES)
        low_end = builder.select(builder.icmp_signed("<", used, eight), used, eight)
        high = builder.sub(used, low_end)

        with cgutils.for_range(
            builder, eight
        ) as loop:  # rows i, i + 8, i + 16 and i + 24 of the block, a byte each
            shift = many(builder, builder.trunc(loop.index, _I32), _NUMBERS)
            for number, (count, above) in enumerate(((low_end, low_end), (high, used))):
                for kept in sums:
                    builder.store(ir.Constant(_NUMBERS, None), kept[number])
                with cgutils.for_range(builder, count) as inner:
                    plane = builder.sub(builder.sub(above, inner.index), one)
                    for side, kept in enumerate(sums):
                        line = builder.add(builder.mul(plane, ir.Constant(_I64, 2)), ir.Constant(_I64, side))
                        at = builder.mul(builder.add(builder.mul(line, eight), block), lanes)
                        bits = builder.and_(
                            builder.lshr(load_vector(builder, _NUMBERS, planes, at, 4), shift), bytewise
                        )
                        before = builder.load(kept[number])
                        builder.store(builder.add(builder.add(before, before), bits), kept[number])
            for q in range(4):
                index = builder.add(loop.index, ir.Constant(_I64, 8 * q))
                move = ir.Constant(_NUMBERS, [8 * q] * LANES)
                counts = []
                for kept in sums:
                    low, top = (builder.and_(builder.lshr(builder.load(k), move), byte) for k in kept)
                    counts.append(builder.or_(low, builder.shl(top, ir.Constant(_NUMBERS, [8] * LANES))))
                turn = builder.load(builder.gep(turned, [builder.add(row, index)]))
                turn = builder.trunc(turn, _I1) if turn.type.width > 1 else turn
                up = builder.select(turn, counts[1], counts[0])
                both = builder.add(counts[0], counts[1])
                to = builder.add(place, builder.mul(index, lanes))
                for value, at in ((up, to), (both, builder.add(to, ir.Constant(_I64, STRIDE)))):
                    before = load_vector(builder, _FLOATS, out, at, 4)
                    store_vector(builder, builder.fadd(before, builder.sitofp(value, _FLOATS)), out, at, 4)
        return context.get_dummy_value()

    flags = types.Array(types.boolean, 1, "C")
    return types.void(planes, types.int64, types.int64, flags, types.int64, out, types.int64), codegen


@kernel
def room_to_count(tall):
    """Scratch arrays of ``count_tall``; next to nothing where it is not used."""
    some = 1 if tall else 0
    table = np.zeros(256 * 8, np.uint8)  # of each byte, where its set bits lie, in machine words of slots
    for byte in range(256):
        n = 0
        for bit in range(8):
            if byte >> bit & 1:
                table[8 * byte + n] = bit * _LINE
                n += 1
    in_turn = np.empty(_EIGHTS, np.int32)
    for k in range(_EIGHTS):
        in_turn[k] = _LINE * k
    return (
        np.empty(some * _COLUMN_WORDS * LANES, np.uint64),
        np.empty(some * _COLUMN_WORDS * LANES, np.uint64),
        table,
        np.empty(some * (64 * _PIECE + 16), np.int32),
        in_turn,
        np.empty(some * _EIGHTS * _LINE * LANES, np.uint64),
        np.empty(_EIGHTS * _LINE // 8 + 64, np.uint64),
        np.empty(_EIGHTS * _LINE // 8 + 64, np.uint64),
        np.zeros(_PLANES * _LINE * LANES, np.uint64),
        np.empty(_PLANES * 2 * BAND // ROWS * LANES, np.uint32),
    )


@kernel
def _list_slots(word, sign, base, table, places, n):
    """Places of the set bits of a word, first of those with a negative sign; how many there are with them."""
    for side in range(2):
        left = word & (sign if side == 0 else ~sign)
        if left == np.uint64(0):
            continue
        start = np.int64(base * _LINE + (_HALF if side == 0 else 0))
        for k in range(8):
            byte = np.int64((left >> np.uint64(8 * k)) & np.uint64(255))
            _list_byte(table, byte, start + 8 * _LINE * k, places, n)
            n += np.int64(popcount(np.uint64(byte)))
    return n


@kernel
def room_for_counts(rows, stretches, tall):
    """Place for the counts of all rows and a block of columns in some of ``stretches`` stretches of slots: as many as fit
    into the second-level cache. Where counters are not used: of all of them, without a place."""
    size = -(-rows // ROWS) * 2 * STRIDE
    return np.empty(
        (max(min(stretches, _KEPT // size), 1) if tall else max(stretches, 1), size if tall else 0),
        np.float32,
    )


@kernel
def _fetch(f, counts, row):
    """Bring the counts of a block; whether there is any."""
    place, some = row // ROWS * 2 * STRIDE, np.uint32(0)
    for e in range(SIZE):
        f[UP + e] = counts[place + e]
    for e in range(SIZE):
        f[ALL + e] = counts[place + STRIDE + e]
        some |= as_bits(counts[place + STRIDE + e])
    return some != np.uint32(0)


@inline
def block_counts(f, counts, lines, since, until, turn_x, turn_d, row, first, begin, end, room):
    """Ups and all pulses of a block between two slots; whether there is any.

    In a tall crossbar they come from ``counts``, which ``count_tall`` has filled; else see ``pulses_of``.
    """
    if lines[6].shape[0] > 0:
        return _fetch(f, counts, row)
    return pulses_of(lines, since, until, turn_x, turn_d, row, first, begin, end, room, f)


@kernel
def _add_carries(eights, groups, in_turn, carries, more, planes):
    """Add up what eights of slots carried, level after level, for each column; how many planes there are then."""
    used = 3
    while (1 << used) <= 8 * groups.max():
        used += 3
    for j in range(LANES):
        own, g, level = eights[j * _EIGHTS * _LINE :], groups[j], 3
        source, target = own, carries
        while level < used:
            for k in range(_LINE * g, _LINE * (((g + 7) >> 3) << 3)):
                source[k] = np.uint64(0)
            g = (g + 7) >> 3
            _add_eights(source, in_turn, g, target, 0, planes, (j * _PLANES + level) * _LINE)
            source, target = target, more if level == 3 else source
            level += 3
    return used


@kernel
def _by_blocks(planes, used, out):
    """Planes of each column, side by side for each block; see ``_unpack``."""
    narrow = planes.view(np.uint32)
    for j in range(LANES):
        for k in range(used * 2 * _LINE):
            out[k * LANES + j] = narrow[j * _PLANES * 2 * _LINE + k]


@kernel
def count_tall(lines, since, until, turn_x, turn_d, first, begin, end, room, out):
    """Ups and all pulses of all rows and a block of columns between two slots.

    Args:
        lines: as ``pulses_of``; with slots as ``turn_over``.
        since: first slot each column sees.
        until: one past the last slot each column sees.
        turn_x: columns whose sign is turned.
        turn_d: rows whose sign is turned [rows, in whole blocks].
        first: first column of the block.
        begin: first slot.
        end: one past the last slot.
        room: of ``room_to_count``.
        out: out, a place for ups and one for all pulses for each block of the rows, one after the other.
    """
    pulses, signs, table, places, in_turn, eights, carries, more, planes, by_block = room
    columns, slots, last = (lines[2], lines[3]), lines[6], (end + 63) >> 6
    nothing = (slots.shape[1] - 1) * _LINE  # the last slot is nobody's
    groups = np.empty(LANES, np.int64)
    out[:] = F(0.0)
    for start in range(begin >> 6, last, _COLUMN_WORDS):
        words = min(_COLUMN_WORDS, last - start)
        load_words(columns, since, until, turn_x, start, words, first, begin, end, pulses, signs)
        for band in range(slots.shape[0]):
            flat = slots[band].reshape(-1)
            planes[:] = np.uint64(0)
            groups[:] = 0
            for piece in range(0, words, _PIECE):
                for j in range(LANES):
                    n = 0
                    for w in range(piece, min(piece + _PIECE, words)):
                        n = _list_slots(
                            pulses[w * LANES + j], signs[w * LANES + j], (start + w) << 6, table, places, n
                        )
                    own = (n + 7) >> 3
                    for k in range(n, 8 * own):
                        places[k] = nothing
                    at = (j * _EIGHTS + groups[j]) * _LINE
                    _add_eights(flat, places, own, eights, at, planes, j * _PLANES * _LINE)
                    groups[j] += own
            used = _add_carries(eights, groups, in_turn, carries, more, planes)
            _by_blocks(planes, used, by_block)
            for block in range(min(BAND, turn_d.shape[0] - band * BAND) // ROWS):
                row = band * BAND + block * ROWS
                _unpack(by_block, used, block, turn_d, row, out, row // ROWS * 2 * STRIDE)
