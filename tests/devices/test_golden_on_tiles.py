"""Known answers of one pulsed update on a whole crossbar."""

import pytest
import torch
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.devices import response
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.choose import engine as made
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile, TileParameters
from tests import expect
from tests.algorithms.rigs import PULSE

ALIKE = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}


def crossbar(device: AbstractDevice, d_size: int, x_size: int, rng: Stream) -> AnalogTile:
    parts = TileParameters(
        device=device, symmetry_point=basic(SymmetryPoint, subtract=False), engine=made(PULSE)
    )
    return AnalogTile((d_size, x_size), parts, population=rng.fork("population"), draws=rng.fork("draws"))


def step(tile: AnalogTile, x: Tensor, d: Tensor, lr: float, update: UpdateParameters) -> Tensor:
    """Change of the weight by one update."""
    before = tile.weight.clone()
    tile.update(plan_pulses(x, d, lr, tile.device.granularity, update), update)
    return tile.weight - before


@pytest.mark.parametrize(
    ("size", "lr", "change"), [(1.0, 0.01, -0.010), (1.0, 0.1, -0.031), (0.5, 0.1, -0.025)]
)
def test_an_update_saturates_at_the_pulse_train_length(
    size: float, lr: float, change: float, rng: Stream
) -> None:
    tile = crossbar(basic(ConstantStep, dw_min=0.001, **ALIKE), 3, 4, rng)
    x, d = torch.full((1, 4), size), torch.full((1, 3), size)
    moved = step(tile, x, d, lr, basic(UpdateParameters, desired_bl=31))
    torch.testing.assert_close(moved, torch.full((3, 4), change), rtol=0, atol=1e-6)


def test_write_noise_is_seen_only_where_a_pulse_fell(rng: Stream) -> None:
    device = basic(ConstantStep, dw_min=0.001, write_noise_std=20.0, **ALIKE)
    tile = crossbar(device, 200, 200, rng)
    tile.set_weight(torch.zeros(200, 200))
    shown = tile.weight.clone()
    expect.variance(shown - tile.state, 0.02**2, detects=0.1)
    x = torch.ones(1, 200)
    x[0, 100:] = 0.0  # no pulse on the right half
    step(tile, x, torch.ones(1, 200), 0.001, basic(UpdateParameters, desired_bl=1))
    assert torch.equal(tile.weight[:, 100:], shown[:, 100:])
    touched = tile.weight[:, :100] - tile.state[:, :100]
    torch.testing.assert_close(tile.state[:, :100], torch.full((200, 100), -0.001))
    expect.variance(touched, 0.02**2, detects=0.12)
    assert abs(torch.corrcoef(torch.stack([touched.ravel(), shown[:, :100].ravel()]))[0, 1]) < 0.05


def test_deterministic_pulses_are_rounded_products(rng: Stream) -> None:
    tile = crossbar(basic(ConstantStep, dw_min=0.001, w_max=5.0, w_min=-5.0, **ALIKE), 7, 9, rng)
    x = rng.fork("x").normal(1, 9, like=tile.weight)
    d = rng.fork("d").normal(1, 7, like=tile.weight)
    update = basic(UpdateParameters, desired_bl=10, pulse_type="deterministic_implicit")
    plan = plan_pulses(x, d, 0.003, 0.001, update)
    expected = -0.001 * (plan.bl * (plan.p_d * d.sign()).T * (plan.p_x * x.sign())).round()
    assert expected.abs().max() > 0.003
    torch.testing.assert_close(step(tile, x, d, 0.003, update), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_single_pulse_recipe(sign: float, rng: Stream) -> None:
    device = basic(SoftBounds, dw_min=0.002, up_down_dtod=0.2, dw_min_std=0.0)
    tile = crossbar(device, 30, 40, rng)
    update = basic(UpdateParameters, desired_bl=1, update_management=False, update_bl_management=False)
    expected = sign * response.step(tile.bar.response, tile.state, up=sign > 0)
    moved = step(tile, torch.ones(1, 40), -sign * torch.ones(1, 30), device.dw_min, update)
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-8)
    assert tile.pulses == 30 * 40
