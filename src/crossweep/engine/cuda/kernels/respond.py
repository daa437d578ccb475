# mypy: ignore-errors
"""The response of devices to mixed pulses: the formulas of the compiled CPU engine, one device to a lane.

``engine.reference.respond`` is the readable version. ``cells`` are six numbers of each device, as ``load_cells`` has them;
``shape`` are the numbers that all devices of an instance share (see ``numbers``): noise, whether it is relative, write
noise; amplitude and rate of up steps, of down steps, offset, noise without a step, noise per size of the state (see
``Exponential``); which of the instances' curves are theirs (see ``Table``).
"""

import triton
import triton.language as tl

from crossweep.engine.cuda.kernels.bits import open_uniform

AFFINE, EXPONENTIAL, TABLE, POWER = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)
SHAPE = tl.constexpr(11)  # how many numbers
_LARGEST = tl.constexpr(0.999)  # a pulse that would pass the bound lands on it
_ROUNDING = tl.constexpr(2e-6)  # what is left of the difference of two equal sums
_DISCRETE = tl.constexpr(0.5826)  # Siegmund, Sequential Analysis (1985)
_GENTLE = tl.constexpr(0.1)
MODERATE = tl.constexpr(1.5)
_FARTHEST = tl.constexpr(8.4)
NONE = tl.constexpr(1e-9)
_HIGHEST = tl.constexpr(60.0)
_SUBSTEPS = tl.constexpr(4)
_NARROW = tl.constexpr(1e-12)  # the range of a stuck device
_NEAR = tl.constexpr(1e-3)  # of the range, from a bound: slopes may be infinite there
_TINY = tl.constexpr(1e-30)


@triton.jit
def phi_series(x):
    """``(1 - exp(-x)) / x`` near zero."""
    return 1.0 - x * (0.5 - x * (1 / 6 - x * (1 / 24 - x * (1 / 120 - x * (1 / 720)))))


@triton.jit
def phi_moderate(x):
    """``(1 - exp(-x)) / x`` up to ``MODERATE``: a series at half of x."""
    half = 0.5 * x
    p = 1 / 120 - half * (1 / 720 - half * (1 / 5040))
    p = 1.0 - half * (0.5 - half * (1 / 6 - half * (1 / 24 - half * p)))
    return p - half * p * p * 0.5


@triton.jit
def phi(x):
    """``(1 - exp(-x)) / x``."""
    small = tl.abs(x) < 0.1
    return tl.where(small, phi_series(x), (1.0 - tl.exp(-x)) / tl.where(small, 1.0, x))


@triton.jit
def ratio(m):
    """``-ln(1 - m) / m`` for the relative step ``m`` of one pulse."""
    small = tl.abs(m) < _GENTLE
    s = 1.0 + m * (0.5 + m * (1 / 3 + m * (0.25 + m * (0.2 + m * (1 / 6 + m * (1 / 7))))))
    return tl.where(small, s, -tl.log(1.0 - m) / tl.where(small, 1.0, m))


@triton.jit
def curves_of(curves, shape, nodes):
    """The curves of an instance [4, nodes]; ``curves`` [instances that differ in them, 4, nodes]."""
    return curves + shape[10].to(tl.int32) * 4 * nodes


@triton.jit
def load_steps(device, place, inside):
    """The six numbers of each device as they are; those outside never move."""
    a, b = (
        tl.load(device[0] + place, mask=inside, other=0.0),
        tl.load(device[1] + place, mask=inside, other=0.0),
    )
    c, d = (
        tl.load(device[2] + place, mask=inside, other=0.0),
        tl.load(device[3] + place, mask=inside, other=0.0),
    )
    high = tl.load(device[4] + place, mask=inside, other=1e30)
    low = tl.load(device[5] + place, mask=inside, other=-1e30)
    return a, b, c, d, high, low


@triton.jit
def load_cells(device, place, inside, KIND: tl.constexpr):
    """Six numbers of each device: drives up and down, rates up and down (affine), units up and down, scale (exponential),
    gains up and down, scale, origin (table), units and exponents up and down (power); then the bounds."""
    a, b, c, d, high, low = load_steps(device, place, inside)
    if KIND == AFFINE:
        m_up, m_down = tl.minimum(-c, _LARGEST), tl.minimum(d, _LARGEST)
        up, down = ratio(m_up), ratio(m_down)
        return a * up, b * down, m_up * up, m_down * down, high, low
    else:
        return a, b, c, d, high, low


@triton.jit
def held(v, end, n, path, high, low, upper, word):
    """``end`` less what every single pulse would have lost at the nearer bound."""
    sign = tl.where(upper, 1.0, -1.0)
    bound = tl.where(upper, high, -low)
    a, b = sign * v, sign * end
    farther = tl.maximum(a, b)
    draw = tl.log(open_uniform(word))
    peak = 0.5 * (a + b + tl.sqrt((b - a) * (b - a) - 2.0 * path * draw)) - tl.sqrt(path / n) * _DISCRETE
    peak = tl.where(n < 1.5, farther, tl.maximum(peak, farther))
    inside = sign * (b - tl.maximum(peak - bound, 0.0))
    return tl.minimum(tl.maximum(inside, low), high)


@triton.jit
def _gentle(
    v, up, n, cu, cd, ru, rd, high, low, noise_up, noise_down, shape, kappa, spread, xi, GIVEN: tl.constexpr
):
    """Devices that relax a little: short series, and no bound. Their new states, and for which this is not enough."""
    inverse = 1.0 / tl.maximum(n, NONE)
    share, down = up * inverse, n - up
    relax = up * ru + down * rd
    once = phi_moderate(relax)
    twice = once - 0.5 * relax * once * once
    g = 1 / 80 - relax * (1 / 360 - relax * (1 / 2016 - relax * (1 / 13440)))
    g = relax * (1 / 12 - relax * (1 / 24 - relax * g))
    drive = up * cu - down * cd - relax * v
    slope = drive * (g - 0.5 * once)
    g *= relax
    mean = v + drive * once
    inside = tl.minimum(tl.maximum(mean, low), high)
    scale_up, scale_down = 1.0 - ru * (0.5 - ru * (1 / 6)), 1.0 - rd * (0.5 - rd * (1 / 6))
    jump = (cu - ru * inside) * scale_up + (cd + rd * inside) * scale_down
    push, pull = (cu - ru * v) * once + ru * slope, (cd + rd * v) * once - rd * slope
    if not GIVEN:
        middle = 0.5 * shape[1] * (v + inside)
        noise_up, noise_down = (
            shape[0] * (cu - ru * middle) * scale_up,
            shape[0] * (cd + rd * middle) * scale_down,
        )
    noise = (up * noise_up * noise_up + down * noise_down * noise_down) * twice * (1.0 + relax * inverse)
    mixed = share * (1.0 - share) * kappa
    counted = spread * (up * push * push + down * pull * pull)
    more = tl.where(spread > 0, 0.0, 1.0)
    end = mean + tl.sqrt(tl.maximum(noise + counted + jump * jump * mixed * (n + more) * once * g, 0.0)) * xi
    hard_up, hard_down = (cu - ru * high) * scale_up, (cd + rd * low) * scale_down
    reach_up = noise + mixed * n * tl.minimum(4.0 * hard_up * hard_up, jump * jump)
    reach_down = noise + mixed * n * tl.minimum(4.0 * hard_down * hard_down, jump * jump)
    risk = ((high - v) * (high - end) <= reach_up * _FARTHEST) | (
        (v - low) * (end - low) <= reach_down * _FARTHEST
    )
    steepest = tl.maximum(tl.abs(ru), tl.abs(rd)) * (MODERATE / _GENTLE)
    return end, risk | (tl.maximum(steepest, tl.abs(relax)) > MODERATE)


@triton.jit
def _affine(v, n_up, n, cu, cd, ru, rd, high, low, shape, kappa, spread, xi, word):
    """The full formulas of an affine device; see ``cpu.kernels.affine.respond``."""
    inverse = 1.0 / n
    unbiased = tl.where(spread > 0, 1.0, n / tl.maximum(n - 1.0, 0.5))
    share, n_down = tl.minimum(n_up * inverse, 1.0), n - n_up
    relax = n_up * ru + n_down * rd
    decay = relax * inverse
    kept, phi_relax, phi_decay = tl.exp(-relax), phi(relax), phi(decay)
    mean = v + (n_up * cu - n_down * cd - relax * v) * phi_relax
    one = n * phi_relax / phi_decay
    two = one * (1.0 + kept) / (2.0 - decay * phi_decay)
    mixed = share * (1.0 - share)
    inside = tl.minimum(tl.maximum(mean, low), high)
    step_up, step_down = phi(ru), phi(rd)
    jump = (cu - ru * inside) * step_up + (cd + rd * inside) * step_down
    short = tl.abs(relax) < 0.1
    slope = -0.5 + relax * (1 / 3 - relax * (1 / 8 - relax * (1 / 30)))
    slope = tl.where(short, slope, (kept - phi_relax) / tl.where(short, 1.0, relax))
    slope *= n_up * cu - n_down * cd - relax * v
    push, pull = (cu - ru * v) * phi_relax + ru * slope, (cd + rd * v) * phi_relax - rd * slope
    counted = spread * (n_up * push * push + n_down * pull * pull)
    order = tl.maximum(two - one * one * inverse - two * _ROUNDING, 0.0) * unbiased
    middle = 0.5 * shape[1] * (v + inside)
    noise_up, noise_down = (cu - ru * middle) * step_up, (cd + rd * middle) * step_down
    noise = (
        shape[0] * shape[0] * (share * noise_up * noise_up + (1.0 - share) * noise_down * noise_down) * two
    )
    end = mean + tl.sqrt(noise + counted + jump * jump * mixed * order * kappa) * xi
    upper = v + end > high + low
    hard = tl.where(upper, (cu - ru * high) * step_up, (cd + rd * low) * step_down)
    wiggle = tl.minimum(2.0 * hard, jump)
    path = noise + wiggle * wiggle * mixed * n * kappa
    return held(v, end, n, path, high, low, upper, word)


@triton.jit
def _of_counts(spread, up, down, relax, first_up, first_down, half_up, half_down, last_up, last_down):
    """What counts that are not known add to the variance; see ``cpu.kernels.integrated.of_counts``."""
    relax = tl.maximum(relax, -20.0)
    kept, rest = tl.exp(-relax), 4.0 * tl.exp(-0.5 * relax)
    more_up = (first_up * kept + half_up * rest + last_up) * (1 / 6)
    more_down = (first_down * kept + half_down * rest + last_down) * (1 / 6)
    return spread * (up * more_up * more_up + down * more_down * more_down)


@triton.jit
def _unbiased(spread, n):
    return tl.where(spread <= 0, n / tl.maximum(n - 1.0, 0.5), 1.0)


@triton.jit
def _ended(
    start, v, up, down, n, relax, jump, noise_up, noise_down, counted, unbiased, out_up, out_down, high, low, kappa, xi,
    word,
):  # fmt: skip
    """Where a mean path ends once noise, order and bounds are added; see ``cpu.kernels.integrated.ended``."""
    share, decay = up / n, relax / n
    one = n * phi(relax) / phi(decay)
    two = n * phi(2.0 * relax) / phi(2.0 * decay)
    order = tl.maximum(two - one * one / n - two * _ROUNDING, 0.0) * unbiased
    noise = tl.maximum((share * noise_up * noise_up + (1.0 - share) * noise_down * noise_down) * two, 0.0)
    mixed = share * (1.0 - share) * kappa
    end = v + tl.sqrt(tl.maximum(noise + counted + jump * jump * mixed * order, 0.0)) * xi
    upper = start + end > high + low
    wiggle = tl.minimum(2.0 * tl.where(upper, out_up, out_down), jump)
    path = noise + wiggle * wiggle * mixed * n
    return held(start, end, n, path, high, low, upper, word)


@triton.jit
def _exponential_step(v, unit, scale, amplitude, rate, offset):
    return unit * tl.maximum(1.0 - amplitude * tl.exp(tl.minimum(rate * (scale * v + offset), _HIGHEST)), 0.0)


@triton.jit
def _exponential(start, up, n, su, sd, scale, high, low, shape, kappa, spread, xi, word):
    """The midpoint rule; see ``cpu.kernels.exponential.respond_shapes``."""
    sigma, a_up, g_up, a_down, g_down, offset = shape[0], shape[3], shape[4], shape[5], shape[6], shape[7]
    down, v = n - up, start
    for _ in tl.static_range(_SUBSTEPS):
        inside = tl.minimum(tl.maximum(v, low), high)
        drift = up * _exponential_step(inside, su, scale, a_up, g_up, offset)
        drift -= down * _exponential_step(inside, sd, scale, a_down, g_down, offset)
        inside = tl.minimum(tl.maximum(v + drift * (0.5 / _SUBSTEPS), low), high)
        drift = up * _exponential_step(inside, su, scale, a_up, g_up, offset)
        drift -= down * _exponential_step(inside, sd, scale, a_down, g_down, offset)
        v += drift * (1.0 / _SUBSTEPS)
    inside = tl.minimum(tl.maximum(v, low), high)
    middle = 0.5 * (start + inside)
    grown_up = a_up * tl.exp(tl.minimum(g_up * (scale * middle + offset), _HIGHEST))
    grown_down = a_down * tl.exp(tl.minimum(g_down * (scale * middle + offset), _HIGHEST))
    steep_up = tl.where(grown_up < 1.0, su * g_up * scale * grown_up, 0.0)
    steep_down = tl.where(grown_down < 1.0, sd * g_down * scale * grown_down, 0.0)
    relax = up * steep_up - down * steep_down
    first_up = _exponential_step(start, su, scale, a_up, g_up, offset)
    first_down = _exponential_step(start, sd, scale, a_down, g_down, offset)
    half_up, half_down = su * tl.maximum(1.0 - grown_up, 0.0), sd * tl.maximum(1.0 - grown_down, 0.0)
    last_up = _exponential_step(inside, su, scale, a_up, g_up, offset)
    last_down = _exponential_step(inside, sd, scale, a_down, g_down, offset)
    always = shape[8] + shape[9] * tl.abs(middle)
    noise_up, noise_down = (
        tl.where(su > 0, sigma * (half_up + always), 0.0),
        tl.where(sd > 0, sigma * (half_down + always), 0.0),
    )
    out_up = _exponential_step(high, su, scale, a_up, g_up, offset)
    out_down = _exponential_step(low, sd, scale, a_down, g_down, offset)
    counted = _of_counts(
        spread, up, down, relax, first_up, first_down, half_up, half_down, last_up, last_down
    )
    return _ended(
        start, v, up, down, n, relax, last_up + last_down, noise_up, noise_down, counted, _unbiased(spread, n), out_up,
        out_down, high, low, kappa, xi, word,
    )  # fmt: skip


@triton.jit
def _power_step(room, unit, power):
    raised = tl.exp(power * tl.log(tl.maximum(room, _TINY)))
    return unit * tl.where(room > _TINY, raised, tl.where(power <= 0, 1.0, 0.0))


@triton.jit
def _power(start, up, n, su, sd, gu, gd, high, low, shape, kappa, spread, xi, word):
    """The midpoint rule; see ``cpu.kernels.power.respond_powers``."""
    sigma = shape[0]
    down, v, inverse = n - up, start, 1.0 / tl.maximum(high - low, _NARROW)
    for _ in tl.static_range(_SUBSTEPS):
        inside = tl.minimum(tl.maximum(v, low), high)
        drift = up * _power_step((high - inside) * inverse, su, gu)
        drift -= down * _power_step((inside - low) * inverse, sd, gd)
        inside = tl.minimum(tl.maximum(v + drift * (0.5 / _SUBSTEPS), low), high)
        drift = up * _power_step((high - inside) * inverse, su, gu)
        drift -= down * _power_step((inside - low) * inverse, sd, gd)
        v += drift * (1.0 / _SUBSTEPS)
    inside = tl.minimum(tl.maximum(v, low), high)
    first_up, first_down = (
        _power_step((high - start) * inverse, su, gu),
        _power_step((start - low) * inverse, sd, gd),
    )
    last_up, last_down = (
        _power_step((high - inside) * inverse, su, gu),
        _power_step((inside - low) * inverse, sd, gd),
    )
    middle = 0.5 * (start + inside)
    room_up, room_down = (
        tl.maximum((high - middle) * inverse, _NEAR),
        tl.maximum((middle - low) * inverse, _NEAR),
    )
    half_up, half_down = _power_step(room_up, su, gu), _power_step(room_down, sd, gd)
    relax = (up * half_up * gu / room_up + down * half_down * gd / room_down) * inverse
    counted = _of_counts(
        spread, up, down, relax, first_up, first_down, half_up, half_down, last_up, last_down
    )
    return _ended(
        start, v, up, down, n, relax, last_up + last_down, sigma * half_up, sigma * half_down, counted,
        _unbiased(spread, n), tl.where(gu <= 0, su, 0.0), tl.where(gd <= 0, sd, 0.0), high, low, kappa, xi, word,
    )  # fmt: skip


@triton.jit
def _found(place, nodes):
    inside = tl.minimum(tl.maximum(place, 0.0), (nodes - 1) * 1.0)
    left = tl.minimum(inside.to(tl.int32), nodes - 2)
    return left, inside - left.to(tl.float32)


@triton.jit
def _at(curves, nodes, WHICH: tl.constexpr, k, share):
    here = tl.load(curves + WHICH * nodes + k)
    return here + share * (tl.load(curves + WHICH * nodes + k + 1) - here)


@triton.jit
def _steps(curves, nodes, v, gain_up, gain_down, scale, origin):
    k, share = _found(scale * v + origin, nodes)
    return gain_up * _at(curves, nodes, 0, k, share), gain_down * _at(curves, nodes, 1, k, share)


@triton.jit
def _lines(v, up, n, gain_up, gain_down, scale, origin, high, low, curves, nodes):
    """Steps as lines over the way that a device is about to go; see ``cpu.kernels.tabulated``."""
    down = n - up
    k, share = _found(scale * v + origin, nodes)
    low_up, low_down = tl.load(curves + k), tl.load(curves + nodes + k)
    rise_up = tl.load(curves + k + 1) - low_up
    rise_down = tl.load(curves + nodes + k + 1) - low_down
    here_up, here_down = gain_up * (low_up + share * rise_up), gain_down * (low_down + share * rise_down)
    slope_up, slope_down = gain_up * scale * rise_up, gain_down * scale * rise_down
    relax = tl.maximum(down * slope_down - up * slope_up, -1.0)
    way = (up * here_up - down * here_down) / (1.0 + relax * (0.5 + relax * (1 / 12)))
    there = tl.minimum(tl.maximum(v + way, low), high)
    way, middle = there - v, 0.5 * (v + there)
    far_up, far_down = _steps(curves, nodes, there, gain_up, gain_down, scale, origin)
    k, share = _found(scale * middle + origin, nodes)
    half_up, half_down = (
        gain_up * _at(curves, nodes, 0, k, share),
        gain_down * _at(curves, nodes, 1, k, share),
    )
    some = tl.abs(way) * tl.abs(scale) > 1e-3
    over = 1.0 / tl.where(some, way, 1.0)
    slope_up = tl.where(some, (far_up - here_up) * over, slope_up)
    slope_down = tl.where(some, (far_down - here_down) * over, slope_down)
    mean_up = (here_up + 4.0 * half_up + far_up) * (1 / 6)
    mean_down = (here_down + 4.0 * half_down + far_down) * (1 / 6)
    return mean_up - slope_up * middle, slope_up, mean_down - slope_down * middle, slope_down, k, share


@triton.jit
def _tabulated(v, n_up, n, cells, noise_up, noise_down, curves, nodes, kappa, spread, xi, word):
    """The full formulas of a tabulated device; see ``cpu.kernels.tabulated``."""
    gain_up, gain_down, scale, origin, high, low = cells
    n_down = n - n_up
    up, slope_up, down, slope_down, _, _ = _lines(
        v, n_up, n, gain_up, gain_down, scale, origin, high, low, curves, nodes
    )
    m_up, m_down = tl.minimum(-slope_up, _LARGEST), tl.minimum(slope_down, _LARGEST)
    ratio_up, ratio_down = ratio(m_up), ratio(m_down)
    relax = n_up * m_up * ratio_up + n_down * m_down * ratio_down
    mean = v + (n_up * up * ratio_up - n_down * down * ratio_down - relax * v) * phi(relax)
    inside = tl.minimum(tl.maximum(mean, low), high)
    first_up, first_down = _steps(curves, nodes, v, gain_up, gain_down, scale, origin)
    half_up, half_down = _steps(curves, nodes, 0.5 * (v + inside), gain_up, gain_down, scale, origin)
    last_up, last_down = _steps(curves, nodes, inside, gain_up, gain_down, scale, origin)
    counted = _of_counts(
        spread, n_up, n_down, relax, first_up, first_down, half_up, half_down, last_up, last_down
    )
    unbiased = _unbiased(spread, n)
    out_up, _ = _steps(curves, nodes, high, gain_up, gain_down, scale, origin)
    _, out_down = _steps(curves, nodes, low, gain_up, gain_down, scale, origin)
    return _ended(
        v, mean, n_up, n_down, n, relax, last_up + last_down, noise_up, noise_down, counted, unbiased, out_up, out_down,
        high, low, kappa, xi, word,
    )  # fmt: skip


@triton.jit
def move(v, up, n, cells, shape, curves, nodes, kappa, spread, xi, word, KIND: tl.constexpr):
    """States after ``up`` up pulses of ``n``.

    Args:
        v: states.
        up: up pulses.
        n: all pulses; where there are none, states stay.
        cells: of ``load_cells``.
        shape: see above.
        curves: of a table, [4, nodes], else not looked at.
        nodes: all of its sets together.
        kappa: mean number of same-direction pulses that come together.
        spread: variance of a count in units of its mean; 0 where counts are known.
        xi: standard normal numbers.
        word: 32 random bits.
    """
    many = tl.maximum(n, NONE)
    high, low = cells[4], cells[5]
    if KIND == EXPONENTIAL:
        end = _exponential(
            v, up, many, cells[0], cells[1], cells[2], high, low, shape, kappa, spread, xi, word
        )
    elif KIND == POWER:
        end = _power(
            v, up, many, cells[0], cells[1], cells[2], cells[3], high, low, shape, kappa, spread, xi, word
        )  # fmt: skip
    elif KIND == AFFINE:
        end, hard = _gentle(
            v, up, n, cells[0], cells[1], cells[2], cells[3], high, low, 0.0, 0.0, shape, kappa, spread, xi, False
        )  # fmt: skip
        if tl.max((hard & (n > 0)).to(tl.int32)) > 0:
            whole = _affine(
                v, up, many, cells[0], cells[1], cells[2], cells[3], high, low, shape, kappa, spread, xi, word
            )  # fmt: skip
            end = tl.where(hard, whole, end)
    else:
        gain_up, gain_down = cells[0], cells[1]
        a, slope_up, b, slope_down, k, share = _lines(
            v, up, n, gain_up, gain_down, cells[2], cells[3], high, low, curves, nodes
        )
        m, w = -slope_up, slope_down
        series_up = 1.0 + m * (0.5 + m * (1 / 3 + m * (0.25 + m * (0.2 + m * (1 / 6 + m * (1 / 7))))))
        series_down = 1.0 + w * (0.5 + w * (1 / 3 + w * (0.25 + w * (0.2 + w * (1 / 6 + w * (1 / 7))))))
        noise_up = shape[0] * gain_up * _at(curves, nodes, 2, k, share)
        noise_down = shape[0] * gain_down * _at(curves, nodes, 3, k, share)
        end, hard = _gentle(
            v, up, n, a * series_up, b * series_down, m * series_up, w * series_down, high, low, noise_up, noise_down,
            shape, kappa, spread, xi, True,
        )  # fmt: skip
        if tl.max((hard & (n > 0)).to(tl.int32)) > 0:
            whole = _tabulated(
                v, up, many, cells, noise_up, noise_down, curves, nodes, kappa, spread, xi, word
            )
            end = tl.where(hard, whole, end)
    return tl.where(n > 0, end, v)


@triton.jit
def one_pulse(v, upwards, cells, shape, curves, nodes, xi, KIND: tl.constexpr):
    """States after one pulse each; affine ``cells`` are the steps and slopes themselves here, see ``load_steps``."""
    a, b, c, d, high, low = cells
    if KIND == AFFINE:
        step = tl.where(upwards, a + c * v, b + d * v)
        base = tl.where(upwards, a, b)
        base = tl.where(shape[1] > 0, step, base)
        change = step + shape[0] * base * xi
    elif KIND == EXPONENTIAL:
        up = _exponential_step(v, a, c, shape[3], shape[4], shape[7])
        down = _exponential_step(v, b, c, shape[5], shape[6], shape[7])
        step, unit = tl.where(upwards, up, down), tl.where(upwards, a, b)
        noise = tl.where(unit > 0, step + shape[8] + shape[9] * tl.abs(v), 0.0)
        change = step + shape[0] * noise * xi
    elif KIND == POWER:
        inverse = 1.0 / tl.maximum(high - low, _NARROW)
        step = _power_step(
            tl.where(upwards, high - v, v - low) * inverse, tl.where(upwards, a, b), tl.where(upwards, c, d)
        )  # fmt: skip
        change = step + shape[0] * step * xi
    else:
        k, share = _found(c * v + d, nodes)
        step = tl.where(upwards, a * _at(curves, nodes, 0, k, share), b * _at(curves, nodes, 1, k, share))
        noise = tl.where(upwards, a * _at(curves, nodes, 2, k, share), b * _at(curves, nodes, 3, k, share))
        change = step + shape[0] * noise * xi
    moved = tl.where(upwards, v + change, v - change)
    return tl.minimum(tl.maximum(moved, low), high)
