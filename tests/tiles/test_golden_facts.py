"""Golden facts of the stochastic pulsed update, for both back ends of the ``pulse`` engine, with noise off
or known."""

from math import ceil, sqrt

import pytest
import torch
from scipy import stats
from tests import expect
from tests.algorithms.rigs import COUNT, PULSE
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.devices.constant_step import ConstantStep
from crossweep.engine.base import Crossbar, EngineParameters
from crossweep.engine.choose import engine as made
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.rng import Stream

STEP = 0.001
IDEAL = {"dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
ENGINES = {
    "pulse": PULSE,
    "pulse_reference": basic(EngineParameters, level="pulse", backend="reference"),
    "count": COUNT,
    "count_reference": basic(EngineParameters, level="count", backend="reference"),
}


@pytest.fixture(params=ENGINES.values(), ids=ENGINES.keys())
def engine(request: pytest.FixtureRequest) -> EngineParameters:
    """All engines that draw pulse trains: for a constant step they must agree."""
    return request.param


def step(engine, x: Tensor, d: Tensor, lr: float, rng: Stream, *, std: float = 0.0, **update) -> Tensor:
    """The change of an ideal constant-step crossbar with bounds far away, in one update."""
    device = basic(ConstantStep, dw_min=STEP, dw_min_std=std, w_max=100.0, w_min=-100.0, **IDEAL)
    parameters = basic(UpdateParameters, **update)
    bar = Crossbar(device, device.draw((d.shape[-1], x.shape[-1]), rng.fork("cells")))
    plan = plan_pulses(x, d, lr, device.granularity, parameters)
    moved, _ = made(engine).update(torch.zeros_like(bar.cells.w_max), plan, bar, parameters, rng)
    return moved


def singles(engine, k: float, rng: Stream, *, std: float = 0.0, size: int = 96, draws: int = 100) -> Tensor:
    """Changes [draws, size, size] of devices that all want ``k`` pulses from one sample."""
    x, d = torch.full((1, size), 0.5), torch.full((1, size), -0.2)
    lr = k * STEP / 0.1
    return torch.stack([step(engine, x, d, lr, rng.fork(str(i)), std=std) for i in range(draws)])


def test_fact_1_the_mean_change_is_the_outer_product(engine, rng: Stream) -> None:
    samples, x, d = 3000, torch.tensor([0.9, -0.3, 0.05, 0.0]), torch.tensor([0.2, -0.07, 0.001])
    lr = 0.04
    change = step(engine, x.expand(samples, 4).contiguous(), d.expand(samples, 3).contiguous(), lr, rng)
    k = lr * 0.9 * 0.2 / STEP
    p = k / ceil(k) * torch.outer(d.abs() / 0.2, x.abs() / 0.9)
    std = STEP * (samples * ceil(k) * p * (1 - p)).sqrt()
    off = (change + samples * lr * torch.outer(d, x)).abs()
    assert (off <= stats.norm.isf(expect.FALSE_ALARM / 24) * std + 1e-4 * STEP * samples * p).all(), off / std
    assert change[:, 3].eq(0).all(), "a zero input pulsed"


def test_fact_2_the_variance_is_binomial_plus_noise(engine, rng: Stream) -> None:
    k, std = 6.5, 0.5
    independent = singles(engine, k, rng, std=std).diagonal(dim1=-2, dim2=-1)  # no shared row or column
    p = k / 7
    variance = 7 * STEP**2 * (p * (1 - p) + p * std**2)
    expect.mean(independent, k * STEP, std=sqrt(variance), detects=0.1 * sqrt(variance))
    expect.variance(independent, variance, detects=0.15)


@pytest.mark.parametrize("k", [1.0, 4.0, 31.0])
def test_fact_3_whole_wanted_pulses_are_certain(engine, k: float, rng: Stream) -> None:
    change = singles(engine, k, rng, size=8, draws=2)
    torch.testing.assert_close(change, torch.full_like(change, k * STEP), rtol=2e-6, atol=0.0)


def test_fact_4_lines_correlate_their_devices(engine, rng: Stream) -> None:
    k, size = 4.4, 96
    counts = singles(engine, k, rng) / STEP - k
    q = sqrt(k / 5)  # probability of each line
    row = counts[:, range(0, size, 2), range(0, size, 2)] * counts[:, range(0, size, 2), range(1, size, 2)]
    apart = counts[:, range(0, size, 2), range(0, size, 2)] * counts[:, range(1, size, 2), range(1, size, 2)]
    z = stats.norm.isf(expect.FALSE_ALARM / 2)
    for product, expected in ((row, 5 * q * q * q * (1 - q)), (apart, 0.0)):
        error = float(product.std()) / sqrt(product.numel())
        assert abs(float(product.mean()) - expected) < z * error, (float(product.mean()), expected, error)
    assert 5 * q**3 * (1 - q) > 3 * z * float(row.std()) / sqrt(row.numel()), "the test could not see it"


@pytest.mark.parametrize(
    ("size", "lr", "change"), [(1.0, 0.01, -0.010), (1.0, 0.1, -0.031), (0.5, 0.1, -0.025)]
)
def test_fact_5_updates_saturate_at_desired_bl(
    engine, size: float, lr: float, change: float, rng: Stream
) -> None:
    moved = step(engine, torch.full((1, 3), size), torch.full((1, 2), size), lr, rng)
    torch.testing.assert_close(moved, torch.full((2, 3), change), rtol=2e-6, atol=0.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_fact_20_single_pulse_recipe(engine, sign: float, rng: Stream) -> None:
    once = {"desired_bl": 1, "update_management": False, "update_bl_management": False}
    moved = step(engine, torch.ones(1, 4), torch.full((1, 3), sign), STEP, rng, **once)
    assert moved.eq(-sign * torch.tensor(STEP)).all()


def test_fact_23_pulses_follow_the_rate_not_the_amplitude(engine, rng: Stream) -> None:
    lr = 0.5 * 31 * STEP / (0.3 * 0.1)  # what auto_scale makes of fast_lr = 0.5 and constant amplitudes
    plan = plan_pulses(torch.full((1, 5), 0.3), torch.full((1, 5), 0.1), lr, STEP, basic(UpdateParameters))
    assert plan.bl.eq(16).all()
    x, d = torch.full((400, 5), 0.3), torch.full((400, 5), 0.1)
    counts = -step(engine, x, d, lr, rng) / STEP / 400
    independent = counts.diagonal()
    p, z = 15.5 / 16, stats.norm.isf(expect.FALSE_ALARM / 10)
    assert ((independent - 15.5).abs() < z * sqrt(16 * p * (1 - p) / 400) + 1e-4).all(), independent


def test_fact_26_zero_vectors_give_no_pulses(engine, rng: Stream) -> None:
    x, d = torch.ones(2, 4), torch.ones(2, 3)
    x[0], d[1] = 0.0, 0.0
    assert step(engine, x, d, 0.01, rng).eq(0).all()
