# mypy: ignore-errors
"""DAC and ADC: scale, rounding, noise and bounds, a vector to a program; the same draws as ``cpu.kernels.periphery``.

``io`` are the numbers of a periphery, of all instances or a row for each (see ``numbers``):

* of the DAC: cap (0 scales by the largest absolute value, > 0 by at most this, < 0 by its absolute value), bin width (0 is
  continuous), bound, standard deviation of the noise;
* of the ADC: bin width, bound (infinite if there is none), standard deviation of the noise;
* noise of weights, strength of the IR drop, lines over the conductance of the wire, how often an input is halved at most.
"""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.bits import key_of, line_key, mix, normal_pair, open_uniform
from crossweep.engine.cuda.kernels.numbers import of_instance
from crossweep.engine.cuda.kernels.transfers import clipped, rounded

_IO = tl.constexpr(11)  # how many numbers
_WEIGHTS = tl.constexpr(0x1B873593)  # where random words for the noise of weights start
NONE, BY_INPUT, BY_WEIGHT = (
    tl.constexpr(0),
    tl.constexpr(1),
    tl.constexpr(2),
)  # what noise of weights grows with


@triton.jit
def _noise(j, n, key):
    """Normal numbers in pairs: the first and the second half of a vector share theirs."""
    half = (n + 1) >> 1
    a, b = normal_pair((2 * tl.where(j < half, j, j - half)).to(tl.uint32), key)
    return tl.where(j < half, a, b)


@triton.jit
def _shift(j, n, key, width):
    """What stochastic rounding adds."""
    return (open_uniform(mix((2 * n + j).to(tl.uint32), key)) - 0.5) * width


@triton.jit
def _drive(x, row, j, n, by, key, io, STOCHASTIC: tl.constexpr, NOISY: tl.constexpr):
    """What the DAC makes of some lines of a vector."""
    v = tl.div_rn(tl.load(x + row * n + j, mask=j < n, other=0.0), tl.zeros(j.shape, tl.float32) + by)
    if STOCHASTIC:
        v += _shift(j, n, key, io[1])
    v = clipped(rounded(v, io[1]), io[2])
    if NOISY:
        v += io[3] * _noise(j, n, key)
    return v


@triton.jit
def _digital(y, j, d, key, io, STOCHASTIC: tl.constexpr, NOISY: tl.constexpr):
    """What the ADC makes of some outputs, before its bound."""
    if NOISY:
        y += io[6] * _noise(j, d, key)
    if STOCHASTIC:
        y += _shift(j, d, key, io[4])
    return rounded(y, io[4])


@triton.jit
def _weights_noise(y, std, j, key):
    """With the noise of the weights that were read."""
    xi, _ = normal_pair((2 * j).to(tl.uint32), mix(tl.full((), _WEIGHTS, tl.uint32), key))
    return y + std * xi


@triton.jit(do_not_specialize=["many"])
def convert(
    x, keys, out, scale, norm, many, n, io, STOCHASTIC: tl.constexpr, NOISY: tl.constexpr, N: tl.constexpr
):  # fmt: skip
    """DAC: divide each vector by its scale, round, clip and add noise.

    Args:
        x: vectors [rows, n].
        keys: of each instance [instances, 2] (int32).
        out: out [rows, n].
        scale: out, what a vector was divided by; 0 for a zero vector [rows].
        norm: out, Euclidean norm of what is driven [rows].
        many: vectors of an instance.
    """
    row = tl.program_id(0).to(tl.int64)
    k, top = (row // many).to(tl.int32), 0.0
    io = of_instance(io, k, _IO)
    for start in range(0, n, N):
        j = start + tl.arange(0, N)
        own = tl.abs(tl.load(x + row * n + j, mask=j < n, other=0.0))
        top = tl.maximum(
            top, tl.max(tl.where(own < float("inf"), own, float("inf")), 0)
        )  # also for what is no number
    alpha = top
    if io[0] > 0:
        alpha = tl.minimum(top, io[0])
    if io[0] < 0:
        alpha = tl.zeros((), tl.float32) - io[0]
    broken = alpha == float("inf")
    tl.store(scale + row, tl.where(broken, float("nan"), alpha))
    by = tl.where(alpha > 0, alpha, 1.0)
    low, high = key_of(keys, k)
    key = line_key(low, high, (row % many).to(tl.int32))
    square = 0.0
    for start in range(0, n, N):
        j = start + tl.arange(0, N)
        v = _drive(x, row, j, n, by, key, io, STOCHASTIC, NOISY)
        square += tl.sum(tl.where(j < n, v * v, 0.0), 0)
        tl.store(out + row * n + j, tl.where(broken, float("nan"), v), mask=j < n)
    tl.store(norm + row, tl.sqrt(square))


@triton.jit(do_not_specialize=["many"])
def digitise(
    y, scale, std, keys, beyond_range, many, d, io, WEIGHTS: tl.constexpr, STOCHASTIC: tl.constexpr,
    NOISY: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """ADC: add noise, round, clip and scale back, in place.

    Args:
        y: in and out, what the crossbar gave, then the result [rows, d].
        scale: scale of the inputs [rows].
        std: what the noise of weights is in proportion to [rows] if ``BY_INPUT``, [rows, d] if ``BY_WEIGHT``.
        keys: of each instance [instances, 2] (int32).
        beyond_range: out, whether an output was [rows] (int8).
        many: vectors of an instance.
    """
    row = tl.program_id(0).to(tl.int64)
    k = (row // many).to(tl.int32)
    io = of_instance(io, k, _IO)
    low, high = key_of(keys, k)
    key = line_key(low, high, (row % many).to(tl.int32))
    back, beyond = tl.load(scale + row), 0
    for start in range(0, d, D):
        j = start + tl.arange(0, D)
        v = tl.load(y + row * d + j, mask=j < d, other=0.0)
        if WEIGHTS == BY_INPUT:
            v = _weights_noise(v, io[7] * tl.load(std + row), j, key)
        if WEIGHTS == BY_WEIGHT:
            v = _weights_noise(v, io[7] * tl.load(std + row * d + j, mask=j < d, other=0.0), j, key)
        v = _digital(v, j, d, key, io, STOCHASTIC, NOISY)
        beyond = tl.maximum(beyond, tl.max(((tl.abs(v) > io[5]) & (j < d)).to(tl.int32), 0))
        tl.store(y + row * d + j, back * clipped(v, io[5]), mask=j < d)
    tl.store(beyond_range + row, ((beyond > 0) & (back > 0)).to(tl.int8))


@triton.jit(do_not_specialize=["many"])
def halve(
    x, weight, scale, keys_in, keys_out, beyond_range, y, many, n, d, w_k, w_d, w_n, io,
    WEIGHTS: tl.constexpr, DROPS: tl.constexpr, IN_STOCHASTIC: tl.constexpr, IN_NOISY: tl.constexpr,
    OUT_STOCHASTIC: tl.constexpr, OUT_NOISY: tl.constexpr,
    N: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """Bound management: a vector that clipped is read again with half the input, a quarter, ..., until it does not.

    Args:
        x: vectors [rows, n].
        weight: [instances, d, n], of strides w_k, w_d, w_n.
        scale: scale of the inputs [rows].
        keys_in, keys_out: of DAC and ADC [instances, 2] (int32).
        beyond_range: whether an output was [rows] (int8).
        y: in and out [rows, d].
        many: vectors of an instance.
        DROPS: whether there is IR drop.
    """
    row = tl.program_id(0).to(tl.int64)
    k, still = (row // many).to(tl.int32), tl.load(beyond_range + row).to(tl.int32)
    io = of_instance(io, k, _IO)
    if still > 0:
        number, alpha = (row % many).to(tl.int32), tl.load(scale + row)
        in_low, in_high = key_of(keys_in, k)
        out_low, out_high = key_of(keys_out, k)
        own, factor = weight + k.to(tl.int64) * w_k, 1.0
        for again in range(1, io[10].to(tl.int32) + 1):
            if still > 0:
                factor = factor * 2.0
                in_key, out_key = (
                    line_key(in_low, in_high, number + again * many), line_key(out_low, out_high, number + again * many)
                )  # fmt: skip
                beyond = 0
                for top in range(0, d, D):
                    i = top + tl.arange(0, D)
                    total, square = tl.zeros((D,), tl.float32), tl.zeros((D,), tl.float32)
                    reach, lost = tl.zeros((D,), tl.float32), tl.zeros((D,), tl.float32)
                    for start in range(0, n, N):
                        j = start + tl.arange(0, N)
                        v = _drive(x, row, j, n, alpha * factor, in_key, io, IN_STOCHASTIC, IN_NOISY)
                        inside = (i < d)[:, None] & (j < n)[None, :]
                        w = tl.load(own + i[:, None] * w_d + j[None, :] * w_n, mask=inside, other=0.0)
                        total += tl.sum(w * v[None, :], 1)
                        if WEIGHTS == BY_INPUT:
                            square += tl.sum(tl.where(j < n, v * v, 0.0), 0)
                        if WEIGHTS == BY_WEIGHT:
                            square += tl.sum(tl.abs(w) * (v * v)[None, :], 1)
                        if DROPS:
                            away = 1.0 - j.to(tl.float32) / n
                            reach += tl.sum(tl.abs(w * v[None, :]), 1)
                            lost += tl.sum(w * (v * (1.0 - away * away))[None, :], 1)
                    if DROPS:
                        a = reach * io[9]
                        total -= io[8] * a * (a * (0.05 * a - 0.2) + 0.5) * lost
                    if WEIGHTS != NONE:
                        total = _weights_noise(total, io[7] * tl.sqrt(square), i, out_key)
                    v = _digital(total, i, d, out_key, io, OUT_STOCHASTIC, OUT_NOISY)
                    beyond = tl.maximum(beyond, tl.max(((tl.abs(v) > io[5]) & (i < d)).to(tl.int32), 0))
                    value = alpha * factor * clipped(v, io[5])
                    tl.store(y + row * d + i, value, mask=i < d)
                still = beyond


@triton.jit(do_not_specialize=["reads"])
def read_slices(
    weight, columns, keys_in, keys_out, out, rows, reads, w_k, w_d, w_n, io,
    IN_STOCHASTIC: tl.constexpr, BY_WEIGHT: tl.constexpr, OUT_STOCHASTIC: tl.constexpr, NOISY: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Columns read with one-hot inputs through the ADC [instances, rows, reads], as ``cpu.kernels.periphery`` does."""
    k = tl.program_id(2)
    io = of_instance(io, k, _IO)
    i, q = tl.program_id(1) * R + tl.arange(0, R), tl.program_id(0) * C + tl.arange(0, C)
    inside = (i < rows)[:, None] & (q < reads)[None, :]
    j = tl.load(columns + q, mask=q < reads, other=0)
    drive = tl.full((C,), 1.0, tl.float32)
    if IN_STOCHASTIC:
        low, high = key_of(keys_in, k)
        drive += _shift(q, reads, line_key(low, high, tl.full((), 0, tl.int32)), io[1])
    drive = clipped(rounded(drive, io[1]), io[2])
    v = tl.load(weight + k.to(tl.int64) * w_k + i[:, None] * w_d + j[None, :] * w_n, mask=inside, other=0.0)
    low, high = key_of(keys_out, k)
    key = line_key(low, high, i)[:, None]
    value = v * drive[None, :]
    if NOISY:
        part = 1.0
        if BY_WEIGHT:
            part = tl.abs(v)
        std = tl.sqrt(v * 0.0 + io[6] * io[6] + io[7] * io[7] * part * (drive * drive)[None, :])
        xi, _ = normal_pair((2 * q).to(tl.uint32)[None, :], key)
        value += std * xi
    if OUT_STOCHASTIC:
        value += (open_uniform(mix((2 * reads + q).to(tl.uint32)[None, :], key)) - 0.5) * io[4]
    value = clipped(rounded(value, io[4]), io[5])
    tl.store(out + (k.to(tl.int64) * rows + i[:, None]) * reads + q[None, :], value, mask=inside)
