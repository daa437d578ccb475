# mypy: ignore-errors
"""DAC and ADC: scale, rounding, noise and bounds of many vectors in one pass each."""

import numpy as np

from crossweep.engine.cpu.kernels.bits import as_bits, as_float, line_key, mix, square_root
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import normal, normal_pair, open_uniform

F = np.float32
_WEIGHTS = np.uint32(0x1B873593)  # where random words for the noise of weights start
_ROUND = F(
    12582912.0
)  # 1.5 * 2^23: adding and subtracting it rounds to the nearest whole number, halves to even


@inline
def nearest(v, width):
    """``v`` rounded to a multiple of ``width``; as it is where ``width`` is 0 or the multiple beyond
    float32."""
    steps = v / (width if width > F(0.0) else F(1.0))
    whole = F(F(steps + _ROUND) - _ROUND) if abs(steps) < F(4194304.0) else steps
    return F(whole * width if width > F(0.0) else v)


@kernel
def convert_rows(x, cap, width, stochastic, bound, noise, factor, keys, ids, out, scale, first_row, last_row):
    """DAC: divide each vector by its scale, round, clip and add noise.

    Args:
        x: vectors [rows, n].
        cap: 0 scales by the largest absolute value, > 0 likewise but by at most this, < 0 by its absolute
            value.
        width: bin width; 0 is continuous.
        stochastic: whether rounding is stochastic.
        bound: range.
        noise: standard deviation of the noise.
        factor: further divisor (bound management).
        keys: 63-bit key of each vector [rows].
        ids: numbers of the vectors; noise belongs to a number, whichever others are read along [rows].
        out: out [rows, n].
        scale: out, what the vector was divided by, without ``factor``; 0 for a zero vector [rows].
        first_row: first row.
        last_row: one past the last row.
    """
    n = x.shape[1]
    for i in range(first_row, last_row):
        row, result = x[i], out[i]
        most = np.uint32(0)
        for j in range(n):  # bits of absolute values are ordered like the values, and whole numbers vectorise
            most = max(most, np.uint32(as_bits(row[j]) & np.uint32(0x7FFFFFFF)))
        top = as_float(most)
        alpha = -cap if cap < F(0.0) else (min(top, cap) if cap > F(0.0) else top)
        scale[i] = alpha
        if not alpha < F(np.inf):  # not a number, or infinite: so is the result
            scale[i] = F(np.nan)
            result[:] = F(np.nan)
            continue
        by = alpha * factor if alpha > F(0.0) else F(1.0)
        k = line_key(keys[i], ids[i])
        if stochastic:
            for j in range(n):
                shift = (open_uniform(mix(np.uint32(2 * n + j), k)) - F(0.5)) * width
                result[j] = min(max(nearest(row[j] / by + shift, width), -bound), bound)
        else:
            for j in range(n):
                result[j] = min(max(nearest(row[j] / by, width), -bound), bound)
        if noise > F(0.0):
            _add_noise(result, noise, k)


@inline
def _add_noise(row, std, key):
    """Add normal noise in pairs: the first and the second half of the row share theirs."""
    n = row.shape[0]
    half = (n + 1) >> 1
    low, high = row[:half], row[half:]
    for j in range(n - half):
        a, b = normal_pair(np.uint32(2 * j), key)
        low[j] += std * a
        high[j] += std * b
    if half > n - half:
        a, _ = normal_pair(np.uint32(2 * (half - 1)), key)
        low[half - 1] += std * a


@kernel
def disturb_rows(y, std, keys, ids, first_row, last_row):
    """Add the noise of the weights that were read, in place.

    Args:
        y: in and out, what the crossbar gave [rows, n].
        std: standard deviation of each output, or of all of a vector [rows, n or 1].
        keys: 63-bit key of each vector [rows].
        ids: numbers of the vectors [rows].
        first_row: first row.
        last_row: one past the last row.
    """
    for i in range(first_row, last_row):
        row, own = y[i], std[i]
        k = mix(_WEIGHTS, line_key(keys[i], ids[i]))
        for j in range(row.shape[0]):
            row[j] += own[min(j, own.shape[0] - 1)] * normal(np.uint32(2 * j), k)


@kernel
def digitise_rows(y, scale, factor, noise, width, stochastic, bound, keys, ids, clipped, first_row, last_row):
    """ADC: add noise, round, clip and scale back, in place.

    Args:
        y: in and out, what the crossbar gave, then the result [rows, n].
        scale: scale of the inputs [rows].
        factor: further scale (bound management).
        noise: standard deviation of the noise.
        width: bin width; 0 is continuous.
        stochastic: whether rounding is stochastic.
        bound: range; infinite if there is none.
        keys: 63-bit key of each vector [rows].
        ids: numbers of the vectors; noise belongs to a number, whichever others are read along [rows].
        clipped: out, whether an output was beyond the range [rows].
        first_row: first row.
        last_row: one past the last row.
    """
    n = y.shape[1]
    for i in range(first_row, last_row):
        row = y[i]
        k = line_key(keys[i], ids[i])
        if noise > F(0.0):
            _add_noise(row, noise, k)
        back = scale[i] * factor
        beyond = 0
        for j in range(n):
            v = row[j]
            if stochastic:
                v += (open_uniform(mix(np.uint32(2 * n + j), k)) - F(0.5)) * width
            v = nearest(v, width)
            beyond += 1 if abs(v) > bound else 0
            row[j] = back * min(max(v, -bound), bound)
        clipped[i] = beyond > 0 and scale[i] > F(0.0)


@kernel
def slice_rows(
    weight,
    columns,
    drive,
    w_noise,
    by_weight,
    noise,
    width,
    stochastic,
    bound,
    keys,
    out,
    first_row,
    last_row,
):
    """Columns read with one-hot inputs of size ``drive``, through the ADC.

    Args:
        weight: of all instances, one below the other [instances * rows, n].
        columns: the columns [reads].
        drive: size of each input [instances, reads].
        w_noise: weight-read noise.
        by_weight: whether that noise grows with the root of the weight.
        noise: standard deviation of the output noise.
        width: bin width; 0 is continuous.
        stochastic: whether rounding is stochastic.
        bound: range; infinite if there is none.
        keys: 63-bit key of each instance [instances].
        out: out [instances * rows, reads].
        first_row: first row.
        last_row: one past the last row.
    """
    reads, rows = columns.shape[0], weight.shape[0] // keys.shape[0]
    for i in range(first_row, last_row):
        own = i // rows
        row, result, k, size = weight[i], out[i], line_key(keys[own], i - own * rows), drive[own]
        for q in range(reads):
            result[q] = row[columns[q]]
        if w_noise > F(0.0) or noise > F(0.0):
            for q in range(reads):
                v = result[q]
                part = abs(v) if by_weight else F(1.0)
                std = square_root(F(noise * noise + w_noise * w_noise * part * size[q] * size[q]))
                xi, _ = normal_pair(np.uint32(2 * q), k)
                result[q] = v * size[q] + std * xi
        else:
            for q in range(reads):
                result[q] *= size[q]
        for q in range(reads):
            v = result[q]
            if stochastic:
                v += (open_uniform(mix(np.uint32(2 * reads + q), k)) - F(0.5)) * width
            result[q] = min(max(nearest(v, width), -bound), bound)
