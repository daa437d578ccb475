# mypy: ignore-errors
"""Passes over the vectors of a mini-batch: largest values, running averages, and expected pulses."""

import numpy as np

from crossweep.engine.cpu.kernels.bits import as_bits, as_float, square_root
from crossweep.engine.cpu.kernels.jit import inline, kernel, summing

F = np.float32
VECTORS = 256  # whose sums are taken together, whatever the number of threads


@kernel
def largest_rows(values, out, first, last):
    """Largest absolute value of the vectors ``first`` to ``last``: ``values [b, n]``, ``out [b]``."""
    for b in range(first, last):
        most = np.uint32(
            0
        )  # the bits of positive numbers are in the numbers' order, and not-a-number is above all
        for j in range(values.shape[1]):
            most = max(most, as_bits(abs(values[b, j])))
        out[b] = as_float(most)


@inline
def _followed(mean, new, tau):
    """``auto_scale.running_scale``: an average after one more value."""
    value = np.float64(new)
    if value > 0.0:
        return (1.0 - tau) * mean + tau * value if mean > 0.0 else value
    return mean


@kernel
def rates_of(top_x, top_d, start_x, start_d, tau, base, out):
    """``auto_scale.scaled_rate`` of many series, one sample after the other; the averages change in place.

    Args:
        top_x: largest inputs [series, b].
        top_d: largest errors [series, b].
        start_x: average of the largest inputs [series].
        start_d: average of the largest errors [series].
        tau: weight of a new value.
        base: what is divided by both averages.
        out: the rate of each sample [series, b].
    """
    for i in range(out.shape[0]):
        mean_x, mean_d = np.float64(start_x[i]), np.float64(start_d[i])
        for b in range(out.shape[1]):
            mean_x, mean_d = _followed(mean_x, top_x[i, b], tau), _followed(mean_d, top_d[i, b], tau)
            x, d = F(mean_x), F(mean_d)
            out[i, b] = F(base) / ((x if x > F(0.0) else F(1.0)) * (d if d > F(0.0) else F(1.0)))
        start_x[i], start_d[i] = F(mean_x), F(mean_d)


@inline
def balanced(rate, x, d, step, longest, shorten):
    """Slots of a train, and scales of columns and rows, from the largest input and error: ``pulse_plan.plan_pulses``."""
    wanted = rate * x * d / step
    some = wanted > F(0.0)
    # a hair below the integer, so that float rounding of an exact k does not add a slot
    length = min(F(np.ceil(F(wanted * F(1 - 1e-6)))), longest) if shorten else longest
    length = length if some else F(0.0)
    both = square_root(F(rate / (step * max(length, F(1.0)))))
    ratio = square_root(F(x / (d * (longest / max(wanted, longest))))) if some else F(1.0)
    return length, both / ratio, both * ratio


@kernel
def balance(rate, top_x, top_d, granularity, grad_scale, desired, shorten, bl, scale_x, scale_d):
    """Bit length and scales of each sample under update management.

    Args:
        rate: learning rate [b].
        top_x: largest input [b].
        top_d: largest error [b].
        granularity: step of the device [w].
        grad_scale: scale of the largest error [1].
        desired: longest train [slot].
        shorten: whether trains are shortened to what the largest cross-point needs.
        bl: out [b].
        scale_x: out [b].
        scale_d: out [b].
    """
    for b in range(rate.shape[0]):
        bl[b], scale_x[b], scale_d[b] = balanced(
            rate[b], top_x[b], top_d[b] * F(grad_scale), F(granularity), F(desired), shorten
        )


@summing
def expect_lines(values, scale, bl, weighted, p, sums, lines, first, last):
    """Signed probabilities of the lines of some vectors, and their sums.

    Args:
        values: signed values [b, n]; the probability of a pulse is ``min(1, |value| scale)``.
        scale: per sample [b].
        bl: slots of each sample [b].
        weighted: whether ``p`` is multiplied by ``bl``.
        p: out, signed probabilities [b, n or more].
        sums: out, over all lines, of the probabilities and of their squares [2, b].
        lines: out, for every ``VECTORS`` vectors, the sums over them of ``bl p`` and ``bl p^2`` [parts, 2, n].
        first: first part.
        last: one past the last.
    """
    for part in range(first, last):
        line, line_square = lines[part, 0], lines[part, 1]
        for b in range(part * VECTORS, min((part + 1) * VECTORS, values.shape[0])):
            factor, slots = scale[b], bl[b]
            weight = slots if weighted else F(1.0)
            total, squares = F(0.0), F(0.0)
            for j in range(values.shape[1]):
                value = min(max(values[b, j] * factor, F(-1.0)), F(1.0))
                size = abs(value)
                p[b, j] = weight * value
                total += size
                squares += size * size
                line[j] += slots * size
                line_square[j] += slots * size * size
            sums[0, b], sums[1, b] = total, squares
