"""What a number of mixed up and down pulses does to a device: closed form for affine models and, over the way that a device
goes, for tables; else integrated.

For an affine model one up pulse is ``v <- v + s+ + m+ v``, one down pulse ``v <- v - s- - m- v``. U up and D
down pulses in any order multiply the starting state by exactly ``exp(-L)`` with ``L = U rho+ + D rho-``,
``rho+ = -ln(1 + m+)``, ``rho- = -ln(1 - m-)``. With the pulses spread evenly,

    v' = v + (U c+ - D c- - L v) phi(L),      phi(L) = (1 - exp(-L)) / L,   c+- = s+- rho+- / |m+-|.

With ``n = U + D``, ``f = U/n``, ``q = exp(-L/n)``, ``S1 = (1 - q^n)/(1 - q)``, ``S2 = (1 - q^2n)/(1 - q^2)``:
the pulses' own noise adds ``(f std+^2 + (1 - f) std-^2) S2``; the unknown order of ups and downs adds
``J^2 f (1 - f) (S2 - S1^2/n) n/(n - 1) kappa`` with the jump ``J = s+(v') + s-(v')`` and the block factor
``kappa`` (pulses of one sample share their direction).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from crossweep.devices.response import Affine, Exponential, General, Power, Table, std, step
from crossweep.engine.base import Crossbar
from crossweep.rng import Stream

_LARGEST_STEP = 0.999  # a pulse that would pass the bound lands on it
_SUBSTEPS = 4  # integration steps per segment for models without a closed form


def respond(
    v: Tensor, up: Tensor, down: Tensor, bar: Crossbar, stream: Stream, blocks: Tensor | float = 1.0,
    spread: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """State after ``up`` and ``down`` pulses in random order, within the bounds.

    Args:
        v: states [..., d, x] [w].
        up: number of up pulses [..., d, x]; need not be whole.
        down: number of down pulses [..., d, x].
        bar: the crossbar.
        stream: source of the noise.
        blocks: kappa, the mean number of same-direction pulses that come together, broadcast to [..., d, x].
        spread: variance of the counts in units of their means [..., d, x], where ``up`` and ``down`` are expected
            numbers; None where they are known.
    """
    response = _integrate if isinstance(bar.response, Exponential | Power | General) else _affine
    mean, relaxation = response(v, up, down, bar)
    noise, order, jump = _spread(v, mean, up, down, relaxation, bar, blocks)
    if spread is None:  # the share of ups was estimated from the counts themselves
        n = up + down
        order = order * n / (n - 1).clamp(min=0.5)
    end = mean + (noise + jump.square() * order).sqrt() * stream.fork("noise").normal(*v.shape, like=v)
    if spread is not None:  # counts belong to the lines: devices that share these count alike
        counted = _count_variance(response, v, mean, up, down, bar)
        end = end + (spread * counted).sqrt() * stream.fork("counts").normal(*spread.shape, like=v)
    return _kept_inside(v, end, up, down, noise, jump, bar, stream.fork("bound"), blocks)


def _affine(v: Tensor, up: Tensor, down: Tensor, bar: Crossbar) -> tuple[Tensor, Tensor]:
    response = bar.response
    if isinstance(response, Table):
        response = _straightened(response, v, up, down, bar)
    assert isinstance(response, Affine)
    u, d = (-response.slope_up).clamp(max=_LARGEST_STEP), response.slope_down.clamp(max=_LARGEST_STEP)
    rho_up, rho_down = -torch.log1p(-u), -torch.log1p(-d)
    relaxation = up * rho_up + down * rho_down
    drive = up * response.up * _ratio(rho_up, u) - down * response.down * _ratio(rho_down, d)
    return v + (drive - relaxation * v) * _phi(relaxation), relaxation


def _straightened(table: Table, v: Tensor, up: Tensor, down: Tensor, bar: Crossbar) -> Affine:
    """Curves as lines over the way that each device is about to go: the slope of the chord from the state to where the
    device will be, and Simpson's mean of the curve between."""

    def steps(at: Tensor) -> tuple[Tensor, Tensor]:
        return step(table, at, up=True), step(table, at, up=False)

    near = 1e-3 * table.width.abs() / table.curves.shape[-1]
    here, beside = steps(v), steps(v + near)
    slopes = [(b - a) / near for a, b in zip(here, beside, strict=True)]
    relaxation = (down * slopes[1] - up * slopes[0]).clamp(min=-1.0)
    way = (up * here[0] - down * here[1]) / (1 + relaxation * (0.5 + relaxation / 12))
    there = _clipped(v + way, bar)
    way, middle = there - v, (v + there) / 2
    far, half = steps(there), steps(middle)
    some = way.abs() > near
    lines = []
    for a, b, c, slope in zip(here, half, far, slopes, strict=True):
        m = torch.where(some, (c - a) / torch.where(some, way, 1.0), slope)
        lines += [(a + 4 * b + c) / 6 - m * middle, m]
    return Affine(up=lines[0], slope_up=lines[1], down=lines[2], slope_down=lines[3], noise=table.noise)


def _ratio(rho: Tensor, step: Tensor) -> Tensor:
    return torch.where(step.abs() < 1e-6, torch.ones_like(rho), rho / torch.where(step == 0, 1.0, step))


def _phi(relaxation: Tensor) -> Tensor:
    """``(1 - exp(-L)) / L``, 1 at L = 0."""
    small = relaxation.abs() < 1e-6
    return torch.where(
        small, 1 - relaxation / 2, -torch.expm1(-relaxation) / torch.where(small, 1.0, relaxation)
    )


def _integrate(v: Tensor, up: Tensor, down: Tensor, bar: Crossbar) -> tuple[Tensor, Tensor]:
    """Midpoint rule on ``dv/dtau = U s+(v) - D s-(v)``.

    Steps are those inside the bounds; the path itself may leave them, ``_kept_inside`` takes it back.
    """

    def drift(at: Tensor) -> Tensor:
        inside = _clipped(at, bar)
        return up * step(bar.response, inside, up=True) - down * step(bar.response, inside, up=False)

    start = v
    for _ in range(_SUBSTEPS):
        middle = v + drift(v) / (2 * _SUBSTEPS)
        v = v + drift(middle) / _SUBSTEPS
    middle = (start + _clipped(v, bar)) / 2
    return v, -_derivative(drift, middle, (bar.cells.w_max - bar.cells.w_min) * 1e-3)


def _clipped(v: Tensor, bar: Crossbar) -> Tensor:
    return torch.minimum(torch.maximum(v, bar.cells.w_min), bar.cells.w_max)


def _derivative(function: Callable[[Tensor], Tensor], at: Tensor, step: Tensor) -> Tensor:
    return (function(at + step) - function(at - step)) / (2 * step).clamp(min=1e-12)


def _spread(
    v: Tensor,
    mean: Tensor,
    up: Tensor,
    down: Tensor,
    relaxation: Tensor,
    bar: Crossbar,
    blocks: Tensor | float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Variance of the pulses' noise, variance of the order in units of the squared jump, and the jump."""
    mean = _clipped(mean, bar)
    n = (up + down).clamp(min=1e-12)
    share = up / n
    decay = relaxation / n
    sum_two = n * _phi(2 * relaxation) / _phi(2 * decay)
    sum_one = n * _phi(relaxation) / _phi(decay)
    jump = step(bar.response, mean, up=True) + step(bar.response, mean, up=False)
    order = (sum_two - sum_one.square() / n - 2e-6 * sum_two).clamp(min=0)  # less what rounding leaves
    noise = torch.zeros_like(v)
    if bar.response.noise > 0:
        middle = (v + mean) / 2
        std_up, std_down = (std(bar.response, middle, up=way) for way in (True, False))
        noise = (share * std_up.square() + (1 - share) * std_down.square()) * sum_two
    return noise.clamp(min=0), share * (1 - share) * order * blocks, jump


def _count_variance(
    response: Callable[[Tensor, Tensor, Tensor, Crossbar], tuple[Tensor, Tensor]],
    v: Tensor, mean: Tensor, up: Tensor, down: Tensor, bar: Crossbar,
) -> Tensor:  # fmt: skip
    """What Poisson counts of ups and downs add: their variance times the squared derivatives of the mean."""
    more = 0.01 * (up + down) + 0.01
    push, pull = (
        (response(v, up + more, down, bar)[0] - mean) / more,
        (response(v, up, down + more, bar)[0] - mean) / more,
    )
    return up * push.square() + down * pull.square()


def _kept_inside(
    v: Tensor, end: Tensor, up: Tensor, down: Tensor, noise: Tensor, jump: Tensor, bar: Crossbar,
    stream: Stream,
    blocks: Tensor | float,
) -> Tensor:  # fmt: skip
    """``end`` less what every single pulse would have lost at the nearer bound, clipped.

    A walk that is clipped after every step ends lower than the free one by what its highest point exceeds the
    bound. The highest point of a Brownian path with both ends given is ``(v + end + sqrt((end - v)^2 - 2 V ln
    U)) / 2``; that of a walk in discrete steps lies 0.5826 of one step's standard deviation lower.

    Source: Siegmund, Sequential Analysis (1985), for the discrete walk.
    """
    response, cells = bar.response, bar.cells
    n = (up + down).clamp(min=1e-12)
    upper = v + end > cells.w_max + cells.w_min
    bound = torch.where(upper, cells.w_max, cells.w_min)
    # ups and downs shake a device at its bound only as far as a step outwards is left there (none for soft
    # bounds)
    outward = torch.where(upper, step(response, bound, up=True), step(response, bound, up=False))
    shake = torch.minimum(2 * outward, jump)
    path = noise + shake.square() * up * down / n * blocks
    sign = torch.where(upper, 1.0, -1.0)
    a, b = sign * v, sign * end
    uniform = 1 - stream.uniform(*v.shape, like=v)  # in (0, 1]
    peak = (a + b + ((b - a).square() - 2 * path * uniform.log()).sqrt()) / 2 - 0.5826 * (path / n).sqrt()
    peak = torch.maximum(torch.where(n < 1.5, torch.maximum(a, b), peak), torch.maximum(a, b))
    inside = sign * (b - (peak - sign * bound).clamp(min=0))
    return _clipped(inside, bar)
