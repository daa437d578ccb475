"""A long rest in closed form is as many mini-batches without pulses."""

import pytest
import torch

from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.tiles.analog_tile import AnalogTile
from tests import expect
from tests.algorithms.rigs import factory

ALIKE = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
SHAPE = (200, 200)


def tile(device: AbstractDevice, start: float = 0.3) -> AnalogTile:
    one = factory(device).tile("single", SHAPE)
    one.set_weight(torch.full(SHAPE, start))
    one.end_batch()
    return one


def both(device: AbstractDevice, batches: int) -> tuple[AnalogTile, AnalogTile]:
    """One goes mini-batch by mini-batch, the other rests as long."""
    slow, quick = tile(device), tile(device)
    for _ in range(batches):
        slow.end_batch()
    quick.rest(batches)
    return slow, quick


@pytest.mark.parametrize(
    "keys",
    [
        {"lifetime": 30.0, "lifetime_dtod": 0.3, "reset": -0.2, "reset_dtod": 0.1},
        {"drift_nu": 0.1, "drift_nu_dtod": 0.5},
        {"lifetime": 50.0, "drift_nu": 0.1},
    ],
)
def test_what_is_certain_is_the_same(keys: dict[str, float]) -> None:
    slow, quick = both(basic(ConstantStep, **ALIKE, **keys), 40)
    assert torch.allclose(slow.state, quick.state, atol=2e-5) and torch.equal(
        quick.weight, quick.state - quick.reference
    )


def test_diffusion_spreads_as_far_with_decay_or_without() -> None:
    for keys in ({}, {"lifetime": 10.0}):
        slow, quick = both(basic(ConstantStep, diffusion=0.01, **ALIKE, **keys), 60)
        left = (
            (1 - 1 / 10) ** 2 if keys else 1.0
        )  # a step decays with the rest of its mini-batch; the first one counts
        variance = 1e-4 * sum(left ** (k + bool(keys)) for k in range(61))
        for one in (slow, quick):
            expect.variance(one.state, variance, detects=0.1)


def test_what_diffuses_over_a_bound_comes_back() -> None:
    slow, quick = both(basic(ConstantStep, diffusion=0.02, **ALIKE), 3000)
    # from bound to bound alike: variance 1.2^2 / 12; small steps that are clipped stay at a bound a little more often
    expect.variance(quick.state, 0.12, detects=0.12, kurtosis=1.8)
    assert quick.state.abs().max() <= 0.6 and 1 < float(slow.state.var() / quick.state.var()) < 1.08
    assert (quick.state.abs() == 0.6).float().mean() < 0.01


def test_the_spread_of_drift_adds_up() -> None:
    slow, quick = both(basic(ConstantStep, drift_nu=0.3, drift_nu_std=0.5, **ALIKE), 30)
    logs = [(one.state / 0.3).log() for one in (slow, quick)]
    expect.same_mean(*logs)
    # sum of ln^2((k + 1) / k): 0.94 for 30 steps from 1, where the integral says 0.97
    assert float(logs[0].var() / logs[1].var()) == pytest.approx(0.94 / 0.97, rel=0.1)


def test_a_device_that_does_not_relax_stays() -> None:
    one = tile(basic(ConstantStep, **ALIKE))
    before = one.weight.clone()
    one.rest(1e9)
    assert torch.equal(one.weight, before)
