# mypy: ignore-errors
"""Responses without a closed form: the devices that get pulses are brought together, so that they fill registers, and go
their way in parts. Where a mean path ends once noise, the order of its pulses and the bounds are added: as in
``engine.response``."""

import numpy as np

from crossweep.engine.cpu.blocks import SIZE, STRIDE
from crossweep.engine.cpu.kernels.affine import EDGE, ROUNDING, held, phi
from crossweep.engine.cpu.kernels.bits import mix, square_root
from crossweep.engine.cpu.kernels.block import ALL, CHOSEN, END, HARD, NEAR, RESPONSE, WORD, V, choose
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import exp

F = np.float32
SUBSTEPS = 4  # of the midpoint rule, as in ``engine.response``


@kernel
def bring_pulsed(f, ids, key):
    """Put what is known of the devices that get pulses from ``NEAR`` on, at ``END`` the states they have, and their random
    words; how many there are. What is beyond them, up to a whole register, is of an earlier visit."""
    many = np.int32(0)
    for e in range(SIZE):
        some = F(1.0) if f[ALL + e] > F(0.0) else F(0.0)
        f[HARD + e] = some
        many = np.int32(many + np.int32(some))
    choose(f, ids)
    for k in range(many):
        e = np.int64(ids[CHOSEN + k])
        ids[WORD + k] = mix(np.uint32(ids[e] + EDGE), key)
        for place in range(0, RESPONSE, STRIDE):
            f[NEAR + place + k] = f[place + e]
        f[NEAR + END + k] = f[V + e]
    return many


@kernel
def take_back(f, ids, many):
    """The new states of these devices, at ``END``, become theirs."""
    for k in range(many):
        f[V + np.int64(ids[CHOSEN + k])] = f[NEAR + END + k]


@inline
def of_counts(spread, up, down, relax, first, half, last):
    """What counts that are not known add to the variance: theirs times the square of what one pulse more would change, its
    step, and what is forgotten of that until the end (Simpson's rule).

    Args:
        spread: variance of a count in units of its mean; 0 where counts are known.
        up: number of up pulses.
        down: number of down pulses.
        relax: how much of a deviation is forgotten, in e-folds.
        first: up and down step at the start.
        half: half-way.
        last: at the end.
    """
    relax = max(relax, F(-20.0))  # more would be no number where there is nothing to add
    kept, rest = exp(-relax), F(4.0) * exp(F(-0.5) * relax)
    more_up = (first[0] * kept + half[0] * rest + last[0]) * F(1 / 6)
    more_down = (first[1] * kept + half[1] * rest + last[1]) * F(1 / 6)
    return spread * (up * more_up * more_up + down * more_down * more_down)


@inline
def unbiased(spread, n):
    """n and n - 1 where the share of ups is estimated from the counts, else 1 and 1."""
    known = spread <= F(0.0)
    return (n if known else F(1.0)), (max(n - F(1.0), F(0.5)) if known else F(1.0))


@inline
def ended(
    start,
    v,
    up,
    down,
    n,
    relax,
    jump,
    noise_up,
    noise_down,
    counted,
    correction,
    outward,
    high,
    low,
    kappa,
    xi,
    word,
):
    """The state after a path.

    Args:
        start: state before.
        v: mean state after, if there were no bounds.
        up: number of up pulses.
        down: number of down pulses.
        n: both, > 0.
        relax: how much of a deviation is forgotten, in e-folds.
        jump: up and down step at the end, together.
        noise_up: standard deviation of an up pulse half-way.
        noise_down: the same of a down pulse.
        counted: variance that unknown counts add.
        correction: ``unbiased``.
        outward: step outwards at the nearer bound, (up, down).
        high: upper bound.
        low: lower bound.
        kappa: mean number of same-direction pulses that come together.
        xi: a standard normal number.
        word: 32 random bits.
    """
    share, decay = up / n, relax / n
    e_one, e_decay = exp(-relax), exp(-decay)
    one = n * phi(relax, e_one) / phi(decay, e_decay)
    two = n * phi(F(2.0) * relax, e_one * e_one) / phi(F(2.0) * decay, e_decay * e_decay)
    order = max(two - one * one / n - ROUNDING * two, F(0.0)) * correction[0] / correction[1]
    noise = max((share * noise_up * noise_up + (F(1.0) - share) * noise_down * noise_down) * two, F(0.0))
    mixed = share * (F(1.0) - share) * kappa
    end = v + square_root(noise + counted + jump * jump * mixed * order) * xi
    upper = start + end > high + low
    wiggle = min(F(2.0) * (outward[0] if upper else outward[1]), jump)
    path = noise + wiggle * wiggle * mixed * n
    return held(start, end, n, path, high, low, upper, word)
