# mypy: ignore-errors
"""The response of affine devices to mixed pulses, a block at a time in straight-line float32 code.

The formulas are those of ``crossweep.engine.reference.respond``; that module is the readable version. Per device the
kernels keep the *rates* ``rho = -ln(1 - m)`` and *drives* ``c = s rho / m`` of one pulse up and down, for step ``s``
at zero and relative step ``m``; a step itself is ``(c -+ rho v) phi(rho)``.
"""

import numpy as np

from crossweep.engine.cpu.blocks import SIZE, STRIDE
from crossweep.engine.cpu.kernels.bits import as_bits, mix, square_root
from crossweep.engine.cpu.kernels.block import (
    ALL,
    CD,
    CHOSEN,
    CU,
    END,
    HARD,
    HIGH,
    LOW,
    NEAR,
    RD,
    RELAX,
    RESPONSE,
    RU,
    SPREAD,
    UP,
    WORD,
    XI,
    V,
    choose,
    load,
)
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import exp, log, open_uniform

F = np.float32
LARGEST = F(0.999)
_DISCRETE = F(0.5826)  # how far below a continuous path's extreme that of its steps stays [one step's std]
ROUNDING = F(2e-6)  # what is left of the difference of two equal sums in float32
_GENTLE = F(0.1)  # relative step up to which series replace logarithms and exponentials
MODERATE = F(1.5)  # relaxation up to which they do
_FARTHEST = F(8.4)  # -ln of the smallest uniform number, halved: no path reaches a bound beyond
NONE = F(1e-9)  # fewer expected pulses than this are none
EDGE = np.uint32(0x27D4EB2F)  # where random words for the bounds start
_MOST = SIZE - SIZE // 4  # so many devices that need the full formulas are not worth bringing together
# standard deviations of one pulse, where a response brings its own
NOISE_UP, NOISE_DOWN = NEAR, NEAR + STRIDE
_VECTOR = 16  # devices that are brought together go through the formulas in so many at a time


@inline
def phi_series(x):
    """``(1 - exp(-x)) / x`` near zero."""
    return F(F(1.0) - x * (F(0.5) - x * (F(1 / 6) - x * (F(1 / 24) - x * (F(1 / 120) - x * F(1 / 720))))))


@inline
def phi_moderate(x):
    """``(1 - exp(-x)) / x`` up to ``MODERATE``: a series at half of x, and ``phi(x) = phi(x/2) (1 - x/2 phi(x/2) / 2)``."""
    half = F(0.5) * x
    p = F(1 / 120) - half * (F(1 / 720) - half * F(1 / 5040))
    p = F(1.0) - half * (F(0.5) - half * (F(1 / 6) - half * (F(1 / 24) - half * p)))
    return F(p - half * p * p * F(0.5))


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


@kernel
def load_devices(f, device, row, first):
    """Bring a block's devices to their places.

    Args:
        f: the block.
        device: steps up and down at zero, slopes of both, bounds [rows, n].
        row: first row.
        first: first column.
    """
    load(f, CU, device[0], row, first, F(0.0))
    load(f, CD, device[1], row, first, F(0.0))
    load(f, RU, device[2], row, first, F(0.0))
    load(f, RD, device[3], row, first, F(0.0))
    load(f, HIGH, device[4], row, first, F(1e30))
    load(f, LOW, device[5], row, first, F(-1e30))
    steepest = np.uint32(0)
    for e in range(SIZE):
        steepest = max(steepest, as_bits(abs(f[RU + e])), as_bits(abs(f[RD + e])))
    if steepest < as_bits(_GENTLE):
        _drive(f, ratio_series)
    else:
        _drive(f, ratio)


@inline
def _drive(f, longer):
    """Steps and slopes of a block into drives and rates; ``longer`` says how much longer a rate is than a slope."""
    for e in range(SIZE):
        # a pulse that would pass the bound lands on it
        m_up, m_down = min(-f[RU + e], LARGEST), min(f[RD + e], LARGEST)
        up, down = longer(m_up), longer(m_down)
        f[CU + e] *= up
        f[CD + e] *= down
        f[RU + e] = m_up * up
        f[RD + e] = m_down * down


@inline
def held(v, end, n, path, high, low, upper, word):
    """``end`` less what every single pulse would have lost at the nearer bound: the path's highest point decides.

    Args:
        v: state before.
        end: state after, if there were no bounds.
        n: number of pulses.
        path: variance of the path between both.
        high: upper bound.
        low: lower bound.
        upper: whether that is the nearer one.
        word: 32 random bits.
    """
    sign = F(1.0) if upper else F(-1.0)
    bound = high if upper else -low
    a, b = sign * v, sign * end
    farther = max(a, b)
    draw = log(open_uniform(word))
    peak = F(0.5) * (a + b + square_root((b - a) * (b - a) - F(2.0) * path * draw)) - _DISCRETE * square_root(
        path / n
    )
    peak = farther if n < F(1.5) else max(peak, farther)
    inside = sign * (b - max(peak - bound, F(0.0)))
    return F(min(max(inside, low), high))


@inline
def respond(v, n_up, n, cu, cd, ru, rd, high, low, sigma, relative, kappa, spread, xi, word):
    """The state after ``n_up`` up pulses of ``n``.

    Args:
        v: state.
        n_up: up pulses.
        n: all pulses, > 0.
        cu: drive of an up pulse.
        cd: drive of a down pulse.
        ru: rate of an up pulse.
        rd: rate of a down pulse.
        high: upper bound.
        low: lower bound.
        sigma: noise of one pulse [its step].
        relative: 1 if the noise is relative to the step at the state, 0 if to the step at zero.
        kappa: mean number of same-direction pulses that come together.
        spread: variance of a count in units of its mean; 0 where counts are known.
        xi: a standard normal number.
        word: 32 random bits.
    """
    inverse, unbiased = F(1.0) / n, F(1.0) if spread > F(0.0) else n / max(n - F(1.0), F(0.5))
    share, n_down = min(n_up * inverse, F(1.0)), n - n_up
    relax = n_up * ru + n_down * rd
    decay = relax * inverse
    e = exp(-relax)
    phi_relax, phi_decay = phi(relax, e), phi(decay, exp(-decay))
    mean = v + (n_up * cu - n_down * cd - relax * v) * phi_relax
    one = n * phi_relax / phi_decay
    two = one * (F(1.0) + e) / (F(2.0) - decay * phi_decay)
    mixed = share * (F(1.0) - share)
    inside = min(max(mean, low), high)
    step_up, step_down = phi(ru, exp(-ru)), phi(rd, exp(-rd))
    jump = (cu - ru * inside) * step_up + (cd + rd * inside) * step_down
    # what one pulse more would change: the derivatives of the mean
    short = abs(relax) < F(0.1)
    slope = F(-0.5) + relax * (F(1 / 3) - relax * (F(1 / 8) - relax * F(1 / 30)))
    slope = slope if short else (e - phi_relax) / (F(1.0) if short else relax)
    slope *= n_up * cu - n_down * cd - relax * v
    push, pull = (cu - ru * v) * phi_relax + ru * slope, (cd + rd * v) * phi_relax - rd * slope
    counted = spread * (n_up * push * push + n_down * pull * pull)
    order = max(two - one * one * inverse - ROUNDING * two, F(0.0)) * unbiased
    middle = F(0.5) * relative * (v + inside)
    noise_up, noise_down = (cu - ru * middle) * step_up, (cd + rd * middle) * step_down
    noise = sigma * sigma * (share * noise_up * noise_up + (F(1.0) - share) * noise_down * noise_down) * two
    end = mean + square_root(noise + counted + jump * jump * mixed * order * kappa) * xi
    upper = v + end > high + low
    # outward step that is left at the bound
    hard = (cu - ru * high) * step_up if upper else (cd + rd * low) * step_down
    wiggle = min(F(2.0) * hard, jump)
    path = noise + wiggle * wiggle * mixed * n * kappa
    return held(v, end, n, path, high, low, upper, word)


@inline
def _at(f, to, e, word, sigma, relative, kappa):
    """``respond`` for device ``e`` of the numbers that lie at ``to`` behind one another."""
    return respond(
        f[to + V + e], f[to + UP + e], max(f[to + ALL + e], NONE),
        f[to + CU + e], f[to + CD + e], f[to + RU + e], f[to + RD + e],
        f[to + HIGH + e], f[to + LOW + e], sigma, relative, kappa, f[to + SPREAD + e],
        f[to + XI + e], word,
    )  # fmt: skip


@kernel
def _moderate(f, sigma, relative, kappa):
    """Gentle devices that relax a little: short series, and no bound. For how many of the block this is not enough."""
    return gentle(f, sigma, relative, kappa, False)


@inline
def gentle(f, sigma, relative, kappa, given):
    """As ``_moderate``; where the noise of a pulse is ``given``, a constant, it lies at ``NOISE_UP`` and ``NOISE_DOWN``."""
    hard = np.int32(0)
    for e in range(SIZE):
        v, up, n, relax = f[V + e], f[UP + e], f[ALL + e], f[RELAX + e]
        cu, cd, ru, rd = f[CU + e], f[CD + e], f[RU + e], f[RD + e]
        high, low = f[HIGH + e], f[LOW + e]
        inverse = F(1.0) / max(n, NONE)
        share, down = up * inverse, n - up
        once = phi_moderate(relax)
        twice = once - F(0.5) * relax * once * once  # phi(2 relax)
        g = F(1 / 80) - relax * (F(1 / 360) - relax * (F(1 / 2016) - relax * F(1 / 13440)))
        g = relax * (F(1 / 12) - relax * (F(1 / 24) - relax * g))
        drive = up * cu - down * cd - relax * v
        slope = drive * (g - F(0.5) * once)  # of phi
        g *= relax  # 1 - phi(relax) (1 + relax / 2)
        mean = v + drive * once
        inside = min(max(mean, low), high)
        scale_up, scale_down = F(1.0) - ru * (F(0.5) - ru * F(1 / 6)), F(1.0) - rd * (F(0.5) - rd * F(1 / 6))
        jump, spread = (cu - ru * inside) * scale_up + (cd + rd * inside) * scale_down, f[SPREAD + e]
        # what one pulse more would change: the derivatives of the mean
        push, pull = (cu - ru * v) * once + ru * slope, (cd + rd * v) * once - rd * slope
        middle = F(0.5) * relative * (v + inside)
        noise_up, noise_down = sigma * (cu - ru * middle) * scale_up, sigma * (cd + rd * middle) * scale_down
        if given:
            noise_up, noise_down = f[NOISE_UP + e], f[NOISE_DOWN + e]
        noise = (
            (up * noise_up * noise_up + down * noise_down * noise_down) * twice * (F(1.0) + relax * inverse)
        )
        shake = jump * jump * share * (F(1.0) - share) * kappa
        counted = spread * (up * push * push + down * pull * pull)
        more = F(0.0) if spread > F(0.0) else F(1.0)
        end = mean + square_root(noise + counted + shake * (n + more) * once * g) * f[XI + e]
        # what shakes a device at its bound is a step outwards that is left there, if any
        hard_up, hard_down = (cu - ru * high) * scale_up, (cd + rd * low) * scale_down
        shake = share * (F(1.0) - share) * kappa * n
        reach_up = noise + shake * min(F(4.0) * hard_up * hard_up, jump * jump)
        reach_down = noise + shake * min(F(4.0) * hard_down * hard_down, jump * jump)
        risk = (high - v) * (high - end) <= _FARTHEST * reach_up or (v - low) * (
            end - low
        ) <= _FARTHEST * reach_down
        f[END + e] = end if n > F(0.0) else v
        steep = max(max(abs(ru), abs(rd)) * (MODERATE / _GENTLE), abs(relax)) > MODERATE
        bad = F(1.0) if (risk or steep) and n > F(0.0) else F(0.0)
        f[HARD + e] = bad
        hard = np.int32(hard + np.int32(bad))  # a wider sum would halve the vectors
    return hard


@kernel
def _whole(f, ids, sigma, relative, kappa, key):
    """All devices of a block by the full formulas."""
    for e in range(SIZE):
        end = _at(f, 0, e, mix(np.uint32(ids[e] + EDGE), key), sigma, relative, kappa)
        f[END + e] = end if f[ALL + e] > F(0.0) else f[V + e]


@kernel
def _hard(f, ids, hard, sigma, relative, kappa, key):
    """The ``hard`` devices that need it by the full formulas: brought together, so that they go in vectors."""
    choose(f, ids)
    for k in range(hard):
        e = np.int64(ids[CHOSEN + k])
        ids[WORD + k] = mix(np.uint32(ids[e] + EDGE), key)
        for place in range(0, RESPONSE, STRIDE):
            f[NEAR + place + k] = f[place + e]
    for start in range(0, hard, _VECTOR):  # numbers beyond the last are of an earlier visit, and not used
        for k in range(start, start + _VECTOR):
            f[NEAR + END + k] = _at(f, NEAR, k, ids[WORD + k], sigma, relative, kappa)
    for k in range(hard):
        f[END + np.int64(ids[CHOSEN + k])] = f[NEAR + END + k]


@kernel
def respond_block(f, ids, scalars, key):
    """Move the devices of a block by the pulses at ``UP`` and ``ALL``, with the noise at ``XI``.

    Args:
        f: the block.
        ids: numbers of its devices.
        scalars: as ``scalars.Scalars``.
        key: 32-bit key.
    """
    sigma, relative, kappa = scalars.noise, scalars.relative, scalars.kappa
    for e in range(SIZE):
        up = f[UP + e]
        f[RELAX + e] = up * f[RU + e] + (f[ALL + e] - up) * f[RD + e]
    hard = _moderate(f, sigma, relative, kappa)
    if hard > _MOST:
        _whole(f, ids, sigma, relative, kappa, key)
    elif hard > 0:
        _hard(f, ids, hard, sigma, relative, kappa, key)
    for e in range(SIZE):
        f[V + e] = f[END + e]
