# mypy: ignore-errors
"""Instructions that Python has no word for, a counter-based hash, and random numbers made from it."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from crossweep.engine.cpu.kernels.jit import inline

_I32, _F32 = ir.IntType(32), ir.FloatType()


@intrinsic
def popcount(typingctx: Any, word: Any) -> Any:
    """Number of set bits of a word of 32 or 64 bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return word(word), codegen


@intrinsic
def as_float(typingctx: Any, word: Any) -> Any:
    """The float32 with these bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _F32)

    return types.float32(types.uint32), codegen


@intrinsic
def as_bits(typingctx: Any, value: Any) -> Any:
    """The bits of a float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _I32)

    return types.uint32(types.float32), codegen


@intrinsic
def square_root(typingctx: Any, value: Any) -> Any:
    """Square root of a float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [_F32]), [args[0]])

    return types.float32(types.float32), codegen


@intrinsic
def mix(typingctx: Any, counter: Any, key: Any) -> Any:
    """A 32-bit hash of a counter and a key; written in 32-bit operations so that it vectorises.

    Source: Wellons, "Prospecting for hash functions" (2018), the two-multiplication finalizer with the lowest
        bias; the key enters a second time between the multiplications.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def constant(value: int) -> Any:
            return ir.Constant(_I32, value)

        def fold(x: Any, shift: int) -> Any:
            return builder.xor(x, builder.lshr(x, constant(shift)))

        x = fold(builder.add(args[0], args[1]), 16)
        x = fold(builder.mul(x, constant(0x7FEB352D)), 15)
        x = builder.mul(builder.xor(x, args[1]), constant(0x846CA68B))
        return fold(x, 16)

    return types.uint32(types.uint32, types.uint32), codegen


@inline
def line_key(key: int, line: int) -> int:
    """The 32-bit key of one line under a 63-bit key."""
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    return mix(np.uint32(mix(np.uint32(line), low)), high)
