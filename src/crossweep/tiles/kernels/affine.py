# mypy: ignore-errors
"""The response of affine devices to mixed pulses, one device at a time in straight-line float32 code.

The formulas are those of ``crossweep.tiles.engine.response``; that module is the readable version.
"""

import numpy as np

from crossweep.tiles.kernels.bits import mix, square_root
from crossweep.tiles.kernels.jit import inline
from crossweep.tiles.kernels.maths import exp, log, normal, open_uniform

F = np.float32
_LARGEST = F(0.999)
_DISCRETE = F(0.5826)  # how far below a continuous path's extreme that of its steps stays [one step's std]


_ROUNDING = F(2e-6)  # what is left of the difference of two equal sums in float32
_GENTLE = F(0.1)  # relative step up to which series replace logarithms and exponentials


@inline
def is_gentle(mu, md):
    """Whether one pulse covers so little of a device's way to its bounds that short series are exact in
    float32."""
    return max(abs(mu), abs(md)) <= _GENTLE


@inline
def phi_series(x):
    """``(1 - exp(-x)) / x`` near zero."""
    return F(F(1.0) - x * (F(0.5) - x * (F(1 / 6) - x * (F(1 / 24) - x * (F(1 / 120) - x * F(1 / 720))))))


@inline
def inverse_phi_series(x):
    """``x / (1 - exp(-x))`` near zero."""
    q = x * x
    return F(F(1.0) + F(0.5) * x + q * (F(1 / 12) - q * F(1 / 720)))


@inline
def phi(x, e):
    """``(1 - exp(-x)) / x`` with ``e = exp(-x)``."""
    small = abs(x) < F(0.1)
    return F(phi_series(x) if small else (F(1.0) - e) / (F(1.0) if small else x))


@inline
def ratio_series(m):
    """``-ln(1 - m) / m`` near zero."""
    return F(
        F(1.0) + m * (F(0.5) + m * (F(1 / 3) + m * (F(0.25) + m * (F(0.2) + m * (F(1 / 6) + m * F(1 / 7))))))
    )


@inline
def ratio(m):
    """``-ln(1 - m) / m`` for the relative step ``m`` of one pulse."""
    small = abs(m) < _GENTLE
    return F(ratio_series(m) if small else -log(F(1.0) - m) / (F(1.0) if small else m))


@inline
def respond(v, n_up, n, su, sd, mu, md, high, low, sigma, relative, kappa, counter, key, gentle):
    """The state after ``n_up`` up pulses of ``n``.

    Args:
        v: state.
        n_up: up pulses.
        n: all pulses, >= 1.
        su: up step at zero.
        sd: down step at zero.
        mu: slope of the up step.
        md: slope of the down step.
        high: upper bound.
        low: lower bound.
        sigma: noise of one pulse [its step].
        relative: 1 if the noise is relative to the step at the state, 0 if to the step at zero.
        kappa: mean number of same-direction pulses that come together.
        counter: uses ``counter`` to ``counter + 2``.
        key: key of the row.
        gentle: ``is_gentle`` of this device and all its neighbours; the same result by shorter formulas.
    """
    # divisions cost most here: one serves both 1/n and n/(n - 1)
    fewer = max(n - F(1.0), F(0.5))
    both = F(1.0) / (n * fewer)
    inverse, unbiased = both * fewer, n * n * both
    share, n_down = min(n_up * inverse, F(1.0)), n - n_up
    # a pulse that would pass the bound lands on it
    m_up, m_down = min(-mu, _LARGEST), min(md, _LARGEST)
    ratio_up, ratio_down = (
        (ratio_series(m_up), ratio_series(m_down)) if gentle else (ratio(m_up), ratio(m_down))
    )
    relax = n_up * ratio_up * m_up + n_down * ratio_down * m_down
    decay = relax * inverse
    e = exp(-relax)
    phi_relax = phi(relax, e)
    if gentle:
        inverse_phi = inverse_phi_series(decay)
        y = decay * phi_series(decay)
        half_sum = F(0.5) + y * (F(0.25) + y * (F(0.125) + y * (F(0.0625) + y * F(0.03125))))  # 1 / (2 - y)
    else:
        phi_decay = phi(decay, exp(-decay))
        inverse_phi, half_sum = F(1.0) / phi_decay, F(1.0) / (F(2.0) - decay * phi_decay)
    drive = n_up * su * ratio_up - n_down * sd * ratio_down
    mean = v + (drive - relax * v) * phi_relax
    one = n * phi_relax * inverse_phi
    two = one * (F(1.0) + e) * half_sum
    mixed = share * (F(1.0) - share)
    inside = min(max(mean, low), high)
    jump = su + sd + (mu + md) * inside
    order = max(two - one * one * inverse - _ROUNDING * two, F(0.0)) * unbiased
    middle = F(0.5) * relative * (v + inside)
    noise_up, noise_down = su + mu * middle, sd + md * middle
    noise = sigma * sigma * (share * noise_up * noise_up + (F(1.0) - share) * noise_down * noise_down) * two
    xi = normal(counter, key)
    end = mean + square_root(noise + jump * jump * mixed * order * kappa) * xi
    # what every single pulse would have lost at the nearer bound: the path's highest point, given both its
    # ends
    upper = v + end > high + low
    sign = F(1.0) if upper else F(-1.0)
    bound = high if upper else -low
    hard = su + mu * high if upper else sd + md * low  # outward step that is left at the bound
    wiggle = min(F(2.0) * hard, jump)
    path = noise + wiggle * wiggle * mixed * n * kappa
    a, b = sign * v, sign * end
    farther = max(a, b)
    draw = log(open_uniform(mix(np.uint32(counter + np.uint32(2)), key)))
    peak = F(0.5) * (a + b + square_root((b - a) * (b - a) - F(2.0) * path * draw)) - _DISCRETE * square_root(
        path * inverse
    )
    peak = farther if n < F(1.5) else max(peak, farther)
    end = sign * (b - max(peak - bound, F(0.0)))
    return F(min(max(end, low), high))
