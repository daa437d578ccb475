# mypy: ignore-errors
"""The two inner products of the engine, written for vector registers: coincidences of pulse words, and expected
counts; and how a block comes and goes.

What a few rows and columns accumulate stays in registers, which a compiler does not find by itself: plain loops reach
a third of this speed. How many rows and columns that are follows from the machine's registers. The instructions are
LLVM's own vector operations and exist on every machine, only wider on some.
"""

from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from crossweep.engine.cpu.blocks import LANES, ROWS, STRIDE

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
# 32 registers of 64 bytes, or 16 of 32 bytes; sums take at most half of them
_WORDS = ir.VectorType(_I64, 8)
_WIDE = get_host_cpu_features().get("avx512f", False)
_EXPECT_ROWS, _FLOATS = (8, ir.VectorType(_F32, 16)) if _WIDE else (4, ir.VectorType(_F32, 8))


def many(builder: Any, scalar: Any, kind: Any) -> Any:
    """A vector with ``scalar`` in every lane."""
    zero = ir.Constant(_I32, 0)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, zero)
    lanes = ir.Constant(ir.VectorType(_I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), lanes)


def data(context: Any, builder: Any, kind: Any, value: Any) -> tuple[Any, Any]:
    """Pointer to an array's first element, and the size of its last dimension."""
    array = context.make_array(kind)(context, builder, value)
    return array.data, cgutils.unpack_tuple(builder, array.shape)[-1]


def load_vector(builder: Any, kind: Any, base: Any, index: Any, size: int) -> Any:
    pointer = builder.bitcast(builder.gep(base, [index]), kind.as_pointer())
    return builder.load(pointer, align=size)


def store_vector(builder: Any, value: Any, base: Any, index: Any, size: int = 4) -> None:
    builder.store(value, builder.bitcast(builder.gep(base, [index]), value.type.as_pointer()), align=size)


@intrinsic
def count_block(typingctx: Any, d: Any, e: Any, turned: Any, place: Any, rows: Any, x: Any, s: Any, words: Any,
                out: Any) -> Any:  # fmt: skip
    """Coincidences of up to ``rows`` rows with a block of columns.

    Args:
        d: pulses of the rows [all words, all rows].
        e: their signs [all words, all rows].
        turned: rows whose sign is turned, bool [all rows].
        place: position of the first word and row in ``d``, flat.
        rows: number of rows, a multiple of 4, none beyond the end of ``d``.
        x: pulses of the columns, word by word [words * 16].
        s: their signs [words * 16].
        words: number of words.
        out: in and out, added to: ups of row ``i`` and column ``j`` at ``16 i + j``, all coincidences ``STRIDE`` behind.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        d_ptr, stride = data(context, builder, signature.args[0], args[0])
        e_ptr, _ = data(context, builder, signature.args[1], args[1])
        t_ptr, _ = data(context, builder, signature.args[2], args[2])
        x_ptr, _ = data(context, builder, signature.args[5], args[5])
        s_ptr, _ = data(context, builder, signature.args[6], args[6])
        out_ptr, _ = data(context, builder, signature.args[8], args[8])
        place, rows, words = args[3], args[4], args[7]
        group, half, lanes = (ir.Constant(_I64, k) for k in (4, 8, LANES))
        ctpop = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_WORDS, [_WORDS]), "llvm.ctpop.v8i64"
        )
        zero, half_row = ir.Constant(_WORDS, None), ir.VectorType(_F32, 8)
        sums = [cgutils.alloca_once(builder, _WORDS) for _ in range(16)]
        second = ir.Constant(_I64, STRIDE)
        with cgutils.for_range(builder, builder.udiv(rows, group)) as loop:
            row = builder.mul(loop.index, group)
            for total in sums:
                builder.store(zero, total)
            with cgutils.for_range(builder, words) as inner:
                at = builder.mul(inner.index, lanes)
                p = [
                    load_vector(builder, _WORDS, x_ptr, builder.add(at, k), 8)
                    for k in (ir.Constant(_I64, 0), half)
                ]
                q = [
                    load_vector(builder, _WORDS, s_ptr, builder.add(at, k), 8)
                    for k in (ir.Constant(_I64, 0), half)
                ]
                here = builder.add(builder.add(place, row), builder.mul(inner.index, stride))
                for i in range(4):
                    index = builder.add(here, ir.Constant(_I64, i))
                    a = many(builder, builder.load(builder.gep(d_ptr, [index])), _WORDS)
                    b = many(builder, builder.load(builder.gep(e_ptr, [index])), _WORDS)
                    for k in range(2):
                        both = builder.and_(a, p[k])
                        up = builder.and_(both, builder.xor(b, q[k]))
                        for total, found in zip(
                            sums[4 * i + 2 * k : 4 * i + 2 * k + 2], (up, both), strict=True
                        ):
                            more = builder.add(builder.load(total), builder.call(ctpop, [found]))
                            builder.store(more, total)
            first = builder.urem(place, stride)
            for i in range(4):
                index = builder.add(row, ir.Constant(_I64, i))
                turn = builder.load(builder.gep(t_ptr, [builder.add(first, index)]))
                turn = builder.trunc(turn, ir.IntType(1)) if turn.type.width > 1 else turn
                for k in range(2):
                    up, both = (builder.load(total) for total in sums[4 * i + 2 * k : 4 * i + 2 * k + 2])
                    up = builder.select(turn, builder.sub(both, up), up)
                    to = builder.add(builder.mul(index, lanes), ir.Constant(_I64, 8 * k))
                    for value, base in ((up, ir.Constant(_I64, 0)), (both, second)):
                        small = builder.trunc(value, ir.VectorType(_I32, 8))
                        number, at = builder.sitofp(small, half_row), builder.add(to, base)
                        before = load_vector(builder, half_row, out_ptr, at, 4)
                        store_vector(builder, builder.fadd(before, number), out_ptr, at)
        return context.get_dummy_value()

    flags = types.Array(types.boolean, 1, "C")
    return types.void(d, e, flags, types.int64, types.int64, x, s, types.int64, out), codegen


@intrinsic
def expect_block(typingctx: Any, w: Any, turned: Any, place: Any, x: Any, samples: Any, out: Any) -> Any:
    """Expected counts of 32 rows and a block of columns: sums of products, and of their absolute values.

    Args:
        w: signed expected pulses of the rows in a sample, if the column always pulses [all samples, all rows].
        turned: rows whose sign is turned, bool [all rows].
        place: position of the first sample and row in ``w``, flat.
        x: signed probabilities of the columns, sample by sample [samples * 16].
        samples: number of samples.
        out: in and out, added to: expected ups of row ``i`` and column ``j`` at ``16 i + j``, all pulses ``STRIDE`` behind.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w_ptr, stride = data(context, builder, signature.args[0], args[0])
        t_ptr, _ = data(context, builder, signature.args[1], args[1])
        x_ptr, _ = data(context, builder, signature.args[3], args[3])
        out_ptr, _ = data(context, builder, signature.args[5], args[5])
        place, samples = args[2], args[4]
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{_FLOATS.count}f32")
        kind = ir.FunctionType(_FLOATS, [_FLOATS])
        fabs = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{_FLOATS.count}f32")
        group, lanes, second = (ir.Constant(_I64, k) for k in (_EXPECT_ROWS, LANES, STRIDE))
        sums = [cgutils.alloca_once(builder, _FLOATS) for _ in range(2 * _EXPECT_ROWS)]
        half = many(builder, ir.Constant(_F32, 0.5), _FLOATS)
        first = builder.urem(place, stride)

        def some_columns(column: Any, row: Any) -> None:
            for total in sums:
                builder.store(ir.Constant(_FLOATS, None), total)
            with cgutils.for_range(builder, samples) as inner:
                p = load_vector(
                    builder, _FLOATS, x_ptr, builder.add(builder.mul(inner.index, lanes), column), 4
                )
                q = builder.call(fabs, [p])
                here = builder.add(builder.add(place, row), builder.mul(inner.index, stride))
                for i in range(_EXPECT_ROWS):
                    one = builder.load(builder.gep(w_ptr, [builder.add(here, ir.Constant(_I64, i))]))
                    a = many(builder, one, _FLOATS)
                    b = builder.call(fabs, [a])
                    for total, left, right in ((sums[2 * i], a, p), (sums[2 * i + 1], b, q)):
                        builder.store(builder.call(fma, [left, right, builder.load(total)]), total)
            for i in range(_EXPECT_ROWS):
                index = builder.add(row, ir.Constant(_I64, i))
                turn = builder.load(builder.gep(t_ptr, [builder.add(first, index)]))
                turn = builder.trunc(turn, ir.IntType(1)) if turn.type.width > 1 else turn
                net, both = (builder.load(total) for total in sums[2 * i : 2 * i + 2])
                net = builder.select(turn, net, builder.fneg(net))
                to = builder.add(builder.mul(index, lanes), column)
                for value, at in (
                    (builder.fmul(half, builder.fadd(both, net)), to), (both, builder.add(to, second))
                ):  # fmt: skip
                    store_vector(
                        builder,
                        builder.fadd(load_vector(builder, _FLOATS, out_ptr, at, 4), value),
                        out_ptr,
                        at,
                    )

        for column in range(0, LANES, _FLOATS.count):
            with cgutils.for_range(builder, ir.Constant(_I64, ROWS // _EXPECT_ROWS)) as loop:
                some_columns(ir.Constant(_I64, column), builder.mul(loop.index, group))
        return context.get_dummy_value()

    flags = types.Array(types.boolean, 1, "C")
    return types.void(w, flags, types.int64, x, types.int64, out), codegen


def _copy(
    builder: Any, matrix: Any, stride: Any, row: Any, first: Any, block: Any, place: Any, *, out: bool
) -> None:
    """Whole rows of a block between a matrix and the block's place."""
    lines = ir.VectorType(_F32, LANES)
    with cgutils.for_range(builder, ir.Constant(_I64, ROWS)) as loop:
        there = builder.add(builder.mul(builder.add(row, loop.index), stride), first)
        here = builder.add(place, builder.mul(loop.index, ir.Constant(_I64, LANES)))
        (source, start), (target, end) = ((block, here), (matrix, there))[:: 1 if out else -1]
        store_vector(builder, load_vector(builder, lines, source, start, 4), target, end)


def _mover(out: bool) -> Any:
    def typer(typingctx: Any, matrix: Any, row: Any, first: Any, f: Any, place: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            there, stride = data(context, builder, signature.args[0], args[0])
            here, _ = data(context, builder, signature.args[3], args[3])
            _copy(builder, there, stride, args[1], args[2], here, args[4], out=out)
            return context.get_dummy_value()

        return types.void(matrix, types.int64, types.int64, f, types.int64), codegen

    return typer


# whole blocks, in rows of a register each: from a matrix [rows, n] at (row, first) to ``place`` of the block, and back
bring_block = intrinsic(_mover(out=False))
return_block = intrinsic(_mover(out=True))


@intrinsic
def fetch_ahead(typingctx: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Ask for ``matrix[row, column]`` to come into the second-level cache, without waiting for it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        there, stride = data(context, builder, signature.args[0], args[0])
        pointer = builder.gep(there, [builder.add(builder.mul(args[1], stride), args[2])])
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(
            function, [pointer, *(ir.Constant(_I32, k) for k in (0, 2, 1))]
        )  # to be read; second level; data
        return context.get_dummy_value()

    return types.void(matrix, types.int64, types.int64), codegen
