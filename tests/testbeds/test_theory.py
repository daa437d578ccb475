"""What theory papers say of simple problems: where a rule comes to rest, and how it gets there."""

from itertools import pairwise
from math import exp, pi, sqrt
from typing import Any

import pytest
import torch
from scipy import optimize, stats
from torch import Tensor

from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.mrl import MRL
from crossweep.algorithms.ttv1 import TTv1
from crossweep.bench.basic import basic
from crossweep.chosen import option
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.testbeds.least_squares import LeastSquares
from tests import expect
from tests.algorithms.rigs import factory

Z = stats.norm.isf(expect.FALSE_ALARM / 2)
PLAIN = basic(UpdateParameters, desired_bl=31, update_management=False, update_bl_management=False)


def device(tau: float, step: float, **changes: Any) -> SoftBounds:
    """Exact soft bounds at +-tau."""
    spreads = ("dw_min_dtod", "dw_min_std", "up_down_dtod", "w_max_dtod", "w_min_dtod")
    return basic(SoftBounds, **dict.fromkeys(spreads, 0.0), w_max=tau, w_min=-tau, dw_min=step, **changes)


# -- a scalar quadratic with a noisy gradient --------------------------------------------------------------
# (target, gradient noise, tau), and where residual learning (gamma 0.5, rates 0.01 and 0.002) was after 4000 steps

RIDGE = {(0.5, 1.0, 1.0): 0.480, (0.5, 0.3, 1.0): 0.498, (0.5, 1.0, 3.0): 0.498, (0.3, 2.0, 1.0): 0.265}
MANY = 400


def mean_weight(rule: AbstractAlgorithm, target: float, noise: float, tau: float, first: int) -> Tensor:
    """[instances] mean weight over the steps from ``first`` to 4000 of SGD on ``(w - target)^2 / 2``."""
    weight = rule.build((MANY, 1, 1), factory(device(tau, 5e-3), subtract=False))
    generator, one = torch.Generator().manual_seed(1), torch.ones(MANY, 1, 1)
    total = torch.zeros(MANY)
    for step in range(4000):
        error = weight.weight - target + noise * torch.randn(MANY, 1, 1, generator=generator)
        weight.update(one, error, 0.01)
        if step >= first:
            total += weight.weight.flatten()
    return total / (4000 - first)


def ridge(target: float, noise: float, tau: float) -> float:
    """The root of ``(w - target) + E|g| w / tau``, ``g`` normal around ``w - target``."""

    def drift(w: float) -> float:
        m = w - target
        size = noise * sqrt(2 / pi) * exp(-((m / noise) ** 2) / 2) + m * (1 - 2 * stats.norm.cdf(-m / noise))
        return float(m + size * w / tau)

    return float(optimize.brentq(drift, -1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("problem", RIDGE)
def test_gradient_noise_pulls_in_memory_sgd_to_the_symmetry_point(
    problem: tuple[float, float, float],
) -> None:
    """Source: Wu et al., arXiv 2406.12774: ``w <- w - a g - (a / tau) |g| w`` comes to rest at a ridge solution."""
    got = mean_weight(basic(AnalogSGD, update=PLAIN), *problem, 1000)
    # a rate of 0.01 moves the mean off the root of the continuous equation by up to 0.0011 (their simulation)
    assert abs(float(got.mean()) - ridge(*problem)) < Z * float(got.std()) / sqrt(MANY) + 0.0011


@pytest.mark.slow
@pytest.mark.parametrize("problem", RIDGE)
def test_residual_learning_takes_that_bias_away(problem: tuple[float, float, float]) -> None:
    rule = basic(TTv1,
        gamma=0.5, fast_lr=0.01, auto_scale=False, transfer_lr=0.002, scale_transfer_lr=False, transfer_every=1,
        update=PLAIN, transfer_update=PLAIN,
    )  # fmt: skip
    got = mean_weight(rule, *problem, 3500)
    wanted, error = RIDGE[problem], float(got.std()) / sqrt(MANY)
    assert abs(float(got.mean()) - wanted) < Z * error * sqrt(2) + 0.0005  # theirs as many runs as ours


# -- least squares -------------------------------------------------------------------------------------------


def square_errors(tau: float, start: float, steps: int = 1600, many: int = 64) -> tuple[Tensor, Tensor]:
    """[instances] mean square error of in-memory SGD over the last quarter, and that of its recursion
    ``w <- w - a g - (a / tau) |g| w`` with the same samples, gradient noise and the variance of the pulses.

    Source: Wu et al., arXiv 2406.12774, Figs. 3-4: D = 40, 100 samples, A of 0.5, w* of 0.3, rate 0.03, 300 states,
    gradient noise 0.1.
    """
    size, rows, lr, noise, dw = 40, 100, 3e-2, 0.1, 2 * tau / 300
    generator = torch.Generator().manual_seed(3)
    matrix = 0.5 * torch.randn(rows, size, generator=generator)
    solution = 0.3 * torch.randn(1, 1, size, generator=generator)
    weight = basic(AnalogSGD, update=PLAIN).build((many, 1, size), factory(device(tau, dw), subtract=False))
    weight.set_weight(torch.full((many, 1, size), start))
    twin = weight.weight.clone()
    totals = torch.zeros(2, many)
    for step in range(steps):
        x = matrix[step % rows].expand(many, 1, -1)
        disturbance = noise * torch.randn(many, 1, 1, generator=generator)
        engine, recursion = (
            ((w - solution) * x).sum(-1, keepdim=True) + disturbance for w in (weight.weight, twin)
        )
        weight.update(x, engine, lr)
        wanted = -lr * recursion * x
        pulses = (
            wanted / dw
            + torch.randn(twin.shape, generator=generator)
            * (wanted.abs() / dw * (1 - wanted.abs() / dw / PLAIN.desired_bl).clamp(min=0)).sqrt()
        )
        twin = twin + dw * pulses * (1 - wanted.sign() * twin / tau)
        if step >= steps * 3 // 4:
            totals += torch.stack([(w - solution).square().mean((-2, -1)) for w in (weight.weight, twin)])
    got, expected = totals / (steps - steps * 3 // 4)
    return got, expected


@pytest.mark.slow
def test_in_memory_sgd_follows_its_recursion_to_a_floor_that_falls_with_tau() -> None:
    floors = []
    for tau in (1.0, 1.5, 2.5):
        got, wanted = square_errors(tau, 0.0)
        expect.same_mean(got, wanted)
        floors.append(float(got.mean()))
    assert floors == sorted(floors, reverse=True)
    expect.same_mean(got, square_errors(2.5, -0.8)[0])  # wherever it starts


# -- a chain of tiles with four states each ---------------------------------------------------------------------


def chain_loss(tiles: int) -> float:
    """Mean square error of ``sum_k gamma^k W_k`` against random targets, each tile with four states, after a warm
    start of 400 steps a tile.
    """
    rule = basic(MRL,
        n_tiles=tiles, gamma=0.5, transfer_every=2, transfer_growth=2, lr_growth=1.0, transfer_lr=1e-5,
        scale_transfer_lr=False, fast_lr=0.2, auto_scale=False, warm_start=True, update=PLAIN, transfer_update=PLAIN,
    )  # fmt: skip
    weight = rule.build((MANY, 1, 1), factory(device(1.0, 0.5), subtract=False))
    target = 1.2 * torch.rand(MANY, 1, 1, generator=torch.Generator().manual_seed(5)) - 0.6
    one, total, steps = torch.ones(MANY, 1, 1), 0.0, 400
    for _ in range(tiles):
        total = 0.0
        for step in range(steps):
            error = weight.weight - target
            weight.update(one, error, 0.2)
            total += float(error.square().mean()) if step >= steps // 2 else 0.0
        for loss in (0.0, 1.0):  # the loss stops falling: on to the next tile
            weight.end_epoch(loss)
    return total / (steps // 2)


@pytest.mark.slow
def test_each_further_tile_lowers_the_loss() -> None:
    """Source: Li et al., arXiv 2510.02516 (their constants leave the transfers' scale open; these are ours)."""
    losses = [chain_loss(tiles) for tiles in (2, 3, 4, 5)]
    # what is left shrinks by about gamma for every tile: by more than half way from 1 to it
    assert all(sqrt(finer / coarser) < 0.75 for coarser, finer in pairwise(losses)), losses


# -- residual learning on least squares --------------------------------------------------------------------------


def residual_loss(bed: LeastSquares, step: float, asymmetry: float, transfer_lr: float) -> float:
    """Loss at the end; the symmetry point is at ``asymmetry`` times 3.5, and every step transfers all columns."""
    rule = basic(TTv1,
        gamma=0.4, fast_lr=0.8, auto_scale=False, transfer_every=1, units_in_mbatch=True,
        n_reads_per_transfer=bed.size, transfer_lr=transfer_lr, scale_transfer_lr=False,
        update=basic(UpdateParameters, desired_bl=8), transfer_update=basic(UpdateParameters, desired_bl=8),
    )  # fmt: skip
    made = factory(device(3.5, step, up_down=asymmetry), subtract=False)
    return bed.run(rule, made, made.draws.fork("task")).metrics["loss"]


@pytest.mark.slow
def test_residual_learning_converges_to_the_digital_solution_only_with_a_symmetric_device() -> None:
    bed = option(LeastSquares, instances=4, size=20, rows=40, steps=400, lr=0.8)
    symmetric, asymmetric = (residual_loss(bed, 1e-3, c, 0.05) for c in (0.0, 0.3))
    assert symmetric < 0.1 * asymmetric


@pytest.mark.slow
def test_residual_learning_rests_higher_the_further_the_symmetry_point_is_off() -> None:
    """Source: Wu et al., arXiv 2502.06309, Fig. 2: D = 50, 100 samples, A of 1, w* of 0.5, tau 3.5, step 1e-4, eight
    slots, rates 0.8, gamma 0.4. Their transfer rate is not stated; eight slots of that step limit the speed, so 300
    steps show the order, not the floor.
    """
    bed = option(LeastSquares, instances=2, size=50, rows=100, steps=300, lr=0.8)
    losses = [residual_loss(bed, 1e-4, c, 0.2) for c in (0.0, 0.1, 0.2, 0.3)]
    assert losses == sorted(losses)
