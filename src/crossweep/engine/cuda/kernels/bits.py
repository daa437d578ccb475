# mypy: ignore-errors
"""The counter-based hash of the compiled CPU engine, and random numbers made from it: the same integers, and normal
numbers from the same formula."""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)
_TINY = tl.constexpr(2.0**-24)


@triton.jit
def mix(counter, key):
    """A 32-bit hash of a counter and a key; see ``cpu.kernels.bits.mix``."""
    x = counter + key
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = ((x ^ (x >> 15)) ^ key) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def key_of(keys, instance):
    """The two halves of the 63-bit key of an instance; ``keys`` [instances, 2] (int32)."""
    low = tl.load(keys + 2 * instance).to(tl.uint32, bitcast=True)
    high = tl.load(keys + 2 * instance + 1).to(tl.uint32, bitcast=True)
    return low, high


@triton.jit
def line_key(low, high, line):
    """The 32-bit key of one line under a 63-bit key."""
    return mix(mix(line.to(tl.uint32), low), high)


@triton.jit
def popcount(word):
    """Number of set bits of a 32-bit word (int32)."""
    if INTERPRETED:
        x = word.to(tl.uint32, bitcast=True)
        x = x - ((x >> 1) & 0x55555555)
        x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
        x = ((x + (x >> 4)) & 0x0F0F0F0F) * 0x01010101
        return (x >> 24).to(tl.int32)
    else:
        return tl.inline_asm_elementwise(
            "popc.b32 $0, $1;", "=r,r", [word], dtype=tl.int32, is_pure=True, pack=1
        )


@triton.jit
def open_uniform(word):
    """A number in (0, 1] from 32 random bits."""
    return ((word >> 8).to(tl.int32).to(tl.float32) + 1.0) * _TINY


@triton.jit
def normal_pair(counter, key):
    """Two independent standard normal numbers from ``counter`` and ``counter + 1``; see ``cpu.kernels.maths``."""
    u = open_uniform(mix(counter, key))
    turn = mix(counter + 1, key)
    shifted = u.to(tl.uint32, bitcast=True) + (0x3F800000 - 0x3F3504F3)
    e = ((shifted >> 23).to(tl.int32) - 127).to(tl.float32)
    f = ((shifted & 0x007FFFFF) + 0x3F3504F3).to(tl.float32, bitcast=True) - 1.0
    p = 0.22070300 - f * 0.14338313
    p = 1.00000468 + f * (-0.49990362 + f * (0.33256778 + f * (-0.25397832 + f * p)))
    half = turn.to(tl.int32, bitcast=True).to(tl.float32) * (3.14159265358979 * 2.0**-32)
    q = half * half
    s = 0.99999924 + q * (-0.16665680 + q * (0.0083132251 - q * 0.00018523448))
    c = 0.99999325 + q * (-0.49991211 + q * (0.041487381 - q * 0.0012711104))
    s = s * half
    radius = tl.sqrt(tl.maximum(-2.0 * (f * p + e * 0.69314718), 0.0))
    return radius * (1.0 - 2.0 * s * s), radius * 2.0 * s * c


@triton.jit
def nearest(value):
    """The nearest whole number, halves to even, below 2^22."""
    return (value + 12582912.0) - 12582912.0
