# mypy: ignore-errors
"""Float32 functions in plain arithmetic, so that loops over devices vectorise, and normal numbers made from
hashes."""

import numpy as np

from crossweep.engine.cpu.kernels.bits import as_bits, as_float, mix, square_root
from crossweep.engine.cpu.kernels.jit import inline

F = np.float32
_ROUND = F(12582912.0)  # 1.5 * 2^23: adding it rounds a float32 to a whole number in its lowest bits
_LOG2E, _LN2_HIGH, _LN2_LOW = F(1.4426950408889634), F(0.693359375), F(-2.12194440e-4)
_UNIT = F(2.0**-24)


@inline
def exp(x):
    """``e^x`` for |x| < 87, relative error below 2e-7; clipped outside."""
    x = min(max(x, F(-87.0)), F(87.0))
    shifted = F(x * _LOG2E) + _ROUND
    k = shifted - _ROUND
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    p = F(1.9875691500e-4)
    p = p * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    p = p * r * r + r + F(1.0)
    bits = np.uint32(np.int32(k) + np.int32(127)) << np.uint32(23)
    return F(p * as_float(np.uint32(bits)))


@inline
def log(x):
    """Natural logarithm of a normal float32 > 0, absolute error below 2e-7 near 1."""
    bits = as_bits(F(x))
    # split at sqrt(1/2), so that the argument of the series is small on both sides of 1
    shifted = np.uint32(bits + np.uint32(0x3F800000 - 0x3F3504F3))
    e = F(np.int32(shifted >> np.uint32(23)) - np.int32(127))
    m = as_float(np.uint32((shifted & np.uint32(0x007FFFFF)) + np.uint32(0x3F3504F3)))
    f = m - F(1.0)
    p = F(7.0376836292e-2)
    p = p * f + F(-1.1514610310e-1)
    p = p * f + F(1.1676998740e-1)
    p = p * f + F(-1.2420140846e-1)
    p = p * f + F(1.4249322787e-1)
    p = p * f + F(-1.6668057665e-1)
    p = p * f + F(2.0000714765e-1)
    p = p * f + F(-2.4999993993e-1)
    p = p * f + F(3.3333331174e-1)
    y = p * f * f * f + e * _LN2_LOW - F(0.5) * f * f
    return F(f + y + e * _LN2_HIGH)


@inline
def open_uniform(word):
    """A number in (0, 1] from 32 random bits."""
    return F(F(np.int32(word >> np.uint32(8))) + F(1.0)) * _UNIT


@inline
def normal_pair(counter, key):
    """Two independent standard normal numbers from the counters ``counter`` and ``counter + 1`` (Box and Muller).

    Logarithm, sine and cosine are good to 1e-5, far below what any number of draws could show.
    """
    u = open_uniform(mix(np.uint32(counter), key))
    turn = mix(np.uint32(counter + np.uint32(1)), key)
    shifted = np.uint32(as_bits(u) + np.uint32(0x3F800000 - 0x3F3504F3))
    e = F(np.int32(shifted >> np.uint32(23)) - np.int32(127))
    f = as_float(np.uint32((shifted & np.uint32(0x007FFFFF)) + np.uint32(0x3F3504F3))) - F(1.0)
    p = F(0.22070300) - f * F(0.14338313)
    p = F(1.00000468) + f * (F(-0.49990362) + f * (F(0.33256778) + f * (F(-0.25397832) + f * p)))
    half = F(np.int32(turn)) * F(3.14159265358979 * 2.0**-32)  # half the angle, in -pi/2 .. pi/2
    q = half * half
    s = F(0.99999924) + q * (F(-0.16665680) + q * (F(0.0083132251) - q * F(0.00018523448)))
    c = F(0.99999325) + q * (F(-0.49991211) + q * (F(0.041487381) - q * F(0.0012711104)))
    s = s * half
    radius = square_root(F(-2.0) * (f * p + e * F(0.69314718)))
    return F(radius * (F(1.0) - F(2.0) * s * s)), F(radius * F(2.0) * s * c)


@inline
def normal(counter, key):
    """One of the numbers of ``normal_pair``."""
    xi, _ = normal_pair(counter, key)
    return xi
