"""How probable a device's readings are under a model: an assumed-density filter over every single pulse.

The hidden state moves by the model's step plus cycle-to-cycle noise, is clipped to the bounds after every
pulse, and each reading adds noise of its own (read and write noise). Its distribution is kept normal: means
and variances are propagated to first order, clipping by the exact moments of a clipped normal law.
"""

from math import erf, exp, log, pi, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from crossweep.fitting.responses import step

Array = NDArray[np.float64]


@njit(cache=True)
def _clip_moments(m: float, var: float, low: float, high: float) -> tuple[float, float]:
    """Mean and variance of ``min(max(X, low), high)`` for normal X."""
    s = sqrt(var)
    if m + 6 * s < high and m - 6 * s > low:
        return m, var
    if s < 1e-12:
        return min(max(m, low), high), 0.0
    x, y = (low - m) / s, (high - m) / s
    below, above = 0.5 * (1 + erf(x / sqrt(2.0))), 0.5 * (1 - erf(y / sqrt(2.0)))
    d_low, d_high = exp(-x * x / 2) / sqrt(2 * pi), exp(-y * y / 2) / sqrt(2 * pi)
    inside = 1 - below - above
    # moments of (X - m) / s, clipped
    first = d_low - d_high + x * below + y * above
    second = inside + x * d_low - y * d_high + x * x * below + y * y * above
    return m + s * first, var * max(second - first * first, 0.0)


@njit(cache=True)
def _below(x: float) -> float:
    """Standard normal probability of less than ``x``."""
    return 0.5 * (1 + erf(x / sqrt(2.0)))


@njit(cache=True)
def _normal(x: float, var: float) -> float:
    return exp(-0.5 * x * x / var) / sqrt(2 * pi * var)


@njit(cache=True)
def _observe(
    y: float, m: float, var: float, low: float, high: float, reading: float
) -> tuple[float, float, float]:
    """A reading ``y`` of ``min(max(X, low), high)``, X normal: its log density, and the posterior's moments.

    The clipped state is at a bound with some probability and a truncated normal otherwise; the reading weighs
    the three, and what is left is condensed to a mean and a variance.
    """
    noise = reading * reading
    gain = var / (var + noise)
    reach = 6 * sqrt(var + noise)
    if m + reach < high and m - reach > low:  # the bounds are out of sight
        off = y - m
        return (
            -0.5 * (log(2 * pi * (var + noise)) + off * off / (var + noise)),
            m + gain * off,
            var * (1 - gain),
        )
    centre, rest = m + gain * (y - m), max(var * (1 - gain), 1e-24)
    s, spread = sqrt(var), sqrt(rest)
    x, z = (low - centre) / spread, (high - centre) / spread
    inside = max(_below(z) - _below(x), 0.0)
    a = _normal(y - m, var + noise) * inside
    b = _normal(y - low, noise) * _below((low - m) / s)
    c = _normal(y - high, noise) * _below((m - high) / s)
    total = a + b + c
    if not total > 1e-300:
        off = y - min(max(m, low), high)
        return (
            -0.5 * (off * off / (var + noise)) - 0.5 * log(2 * pi * (var + noise)),
            min(max(y, low), high),
            noise,
        )
    mean, second = centre, rest + centre * centre
    if inside > 1e-12 and inside < 1 - 1e-12:
        d_low, d_high = exp(-x * x / 2) / sqrt(2 * pi), exp(-z * z / 2) / sqrt(2 * pi)
        shift = (d_low - d_high) / inside
        mean = centre + spread * shift
        edge = (x * d_low if abs(x) < 30 else 0.0) - (z * d_high if abs(z) < 30 else 0.0)
        second = rest * (1 + edge / inside - shift * shift) + mean * mean
    first = (a * mean + b * low + c * high) / total
    square = (a * second + b * low * low + c * high * high) / total
    return log(total), first, max(square - first * first, 0.0)


@njit(cache=True)
def surprise(
    code: int,
    p: Array,
    low: float,
    high: float,
    additive: bool,
    cycle: float,
    reading: float,
    pulses: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    w: Array,
    residuals: Array,
) -> float:
    """Negative log-likelihood of the readings ``w`` after those that begin a series; fills ``residuals``.

    Args:
        code: the model.
        p: its parameters.
        low: lower bound.
        high: upper bound.
        additive: the pulse noise keeps its size (else it is relative to the step).
        cycle: cycle-to-cycle noise [step].
        reading: noise of a reading [w].
        pulses: signed pulses before each reading.
        fresh: readings before which the state was set anew; they explain nothing.
        w: readings; NaN where missing.
        residuals: as long as ``w``: standardised innovations, NaN where there is none.
    """
    total, started = 0.0, False
    m, var, h = 0.0, 0.0, 1e-4
    at_zero_up, at_zero_down = step(code, p, low, high, 0.0, True), step(code, p, low, high, 0.0, False)
    for k in range(w.size):
        residuals[k] = np.nan
        if fresh[k]:
            started = False
        if started:
            up = pulses[k] > 0
            sign = 1.0 if up else -1.0
            for i in range(abs(pulses[k])):
                if i > 0:
                    m, var = _clip_moments(m, var, low, high)
                size = step(code, p, low, high, m, up)
                rise = (step(code, p, low, high, m + h, up) - step(code, p, low, high, m - h, up)) / (2 * h)
                noise = cycle * ((at_zero_up if up else at_zero_down) if additive else size)
                spread = var * (1 + sign * rise) ** 2 + noise * noise
                if not additive:
                    spread += (cycle * rise) ** 2 * var
                m, var = m + sign * size, max(spread, 1e-24)
        if np.isnan(w[k]):
            m, var = _clip_moments(m, var, low, high)
            continue
        if not started:
            m, var, started = min(max(w[k], low), high), reading * reading, True
            continue
        var = max(var, 1e-24)  # readings without a pulse between them sharpen it
        residuals[k] = (w[k] - min(max(m, low), high)) / sqrt(var + reading * reading)
        gained, m, var = _observe(w[k], m, var, low, high, reading)
        total -= gained
    return total
