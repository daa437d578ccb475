"""Several devices per weight: the weight they show, who gets which pulse, pairs and their refresh."""

from dataclasses import replace

import pytest
import torch
from tests import expect
from tests.algorithms.rigs import COUNT, MEAN, PULSE
from tests.devices import catalogue
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.devices import response
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.one_sided import unmirrored
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters
from crossweep.engine.choose import engine as made
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.errors import ConfigError
from crossweep.rng import Stream
from crossweep.tiles.analog_tile import TileParameters
from crossweep.tiles.unit_cells import UnitCellTile

ALIKE = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
ENGINES = [PULSE, COUNT, MEAN]
every_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.level)


def cell(
    device: object,
    shape: tuple[int, ...],
    rng: Stream,
    engine: EngineParameters | None = None,
    point: SymmetryPoint | None = None,
) -> UnitCellTile:
    parts = TileParameters(
        device=device,
        symmetry_point=point or basic(SymmetryPoint),
        engine=made(engine or PULSE),
    )
    return UnitCellTile(shape, parts, population=rng.fork("population"), draws=rng.fork("draws"))


def batch(rng: Stream, b: int, d_size: int, x_size: int) -> tuple[Tensor, Tensor]:
    like = torch.empty(0)
    return rng.fork("x").normal(b, x_size, like=like), rng.fork("d").normal(b, d_size, like=like)


@pytest.mark.parametrize("policy", ["all", "single_fixed", "single_sequential", "single_random"])
def test_a_written_weight_is_shown(policy: str, rng: Stream) -> None:
    device = basic(SoftBounds, n_devices=3, update_policy=policy, w_max_dtod=0.05, w_min_dtod=0.05)
    tile = cell(device, (4, 5), rng)
    weight = 0.2 * rng.fork("w").normal(4, 5, like=tile.weight).clamp(-2, 2)
    tile.set_weight(weight)
    torch.testing.assert_close(tile.weight, weight)
    assert tile.state.shape == (3, 4, 5)


def test_all_devices_take_every_pulse_and_average_their_noise(rng: Stream) -> None:
    device = basic(ConstantStep, n_devices=4, dw_min=0.01, **(ALIKE | {"dw_min_std": 0.5}))
    tile = cell(device, (200, 200), rng)
    tile.pulse(torch.ones(200, 200))
    expect.mean(tile.weight, 0.01, std=0.5 * 0.01 / 2, detects=0.01 * 0.01)
    expect.variance(tile.weight, (0.5 * 0.01) ** 2 / 4, detects=0.1)
    assert tile.pulses == 4 * 200 * 200


def test_single_policies_give_each_sample_to_one_device(rng: Stream) -> None:
    device = basic(ConstantStep, n_devices=2, dw_min=0.01, **ALIKE)
    x, d = torch.ones(4, 3), -torch.ones(4, 2)
    update = basic(UpdateParameters, desired_bl=1)
    for policy, shares in (("single_fixed", (4, 0)), ("single_sequential", (2, 2))):
        tile = cell(replace(device, update_policy=policy), (2, 3), rng.fork(policy))
        tile.update(plan_pulses(x, d, 0.01, 0.01, update), update)
        moved = torch.tensor(shares) * 0.01
        torch.testing.assert_close(tile.state, moved.view(2, 1, 1).expand(2, 2, 3))
    tile = cell(replace(device, update_policy="single_random"), (1, 1), rng.fork("random"))
    tile.update(plan_pulses(torch.ones(40, 1), -torch.ones(40, 1), 0.01, 0.01, update), update)
    pulses = (tile.state / 0.01).round()
    assert pulses.sum() == 40
    expect.rate(int(pulses[0]), 40, 0.5)


def test_sequential_turns_go_on_over_updates(rng: Stream) -> None:
    tile = cell(
        basic(ConstantStep, n_devices=3, update_policy="single_sequential", dw_min=0.01, **ALIKE), (1, 1), rng
    )
    for _ in range(4):
        tile.pulse(torch.ones(1, 1))
    torch.testing.assert_close(tile.state.flatten(), torch.tensor([0.02, 0.01, 0.01]))


@every_engine
def test_the_expected_update_is_the_gradient_step(engine: EngineParameters, rng: Stream) -> None:
    device = basic(ConstantStep, n_devices=3, dw_min=0.001, w_max=9.0, w_min=-9.0, **ALIKE)
    update = basic(UpdateParameters, desired_bl=31)
    x, d = batch(rng, 5, 2, 3)
    many = (500, 2, 3)
    tile = cell(device, many, rng, engine)
    wide = [t.expand(500, *t.shape) for t in (x, d)]
    tile.update(plan_pulses(*wide, 0.01, device.granularity, update), update)
    expected = -0.01 * d.T @ x
    for i in range(2):
        for j in range(3):
            sample = tile.weight[:, i, j]
            expect.mean(
                sample, float(expected[i, j]), std=float(sample.std()), detects=0.4 * float(sample.std())
            )


@every_engine
def test_shared_lines_make_the_devices_of_a_cell_count_alike(engine: EngineParameters, rng: Stream) -> None:
    tile = cell(
        basic(ConstantStep, n_devices=2, dw_min=0.001, w_max=9.0, w_min=-9.0, **ALIKE), (20, 30), rng, engine
    )
    update = basic(UpdateParameters, desired_bl=31)
    x, d = batch(rng, 8, 20, 30)
    tile.update(plan_pulses(x, d, 0.01, 0.001, update), update)
    assert tile.weight.abs().max() > 0.005
    torch.testing.assert_close(tile.state[0], tile.state[1], rtol=0, atol=1e-6)


def test_skew_and_variability_are_those_of_the_weight(rng: Stream) -> None:
    device = basic(SoftBounds, n_devices=4, up_down_dtod=0.2, w_max=1.0, w_min=-1.0)
    tile = cell(device, (150, 150), rng, point=basic(SymmetryPoint, skew=0.1, variability=0.05))
    own = device.symmetry_point(tile.cells)
    tile.state = own
    tile._show(torch.ones_like(own, dtype=torch.bool))
    expect.mean(tile.weight, 0.1, std=0.05, detects=0.003)
    expect.variance(tile.weight, 0.05**2, detects=0.1)


def test_a_pair_has_no_symmetry_point_to_move(rng: Stream) -> None:
    with pytest.raises(ConfigError, match=r"symmetry_point\.skew"):
        cell(catalogue.load("pcm"), (2, 2), rng, point=basic(SymmetryPoint, skew=0.1))


@pytest.mark.parametrize(
    "changes", [{"n_devices": 0}, {"update_policy": "one_sided"}, {"update_policy": "some"}, {"w_min": 0.0}]
)
def test_impossible_cells_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^(n_devices|update_policy|w_min)\b"):
        basic(SoftBounds, **changes)


# -- one-sided pairs -----------------------------------------------------------------------------------


def pair(rng: Stream, shape: tuple[int, ...] = (3, 4), **changes: object) -> UnitCellTile:
    quiet = {"dw_min_std": 0.0, "dw_min_std_add": 0.0, "dw_min_std_slope": 0.0}
    return cell(catalogue.load("pcm", **(quiet | changes)), shape, rng)


def test_a_pair_splits_a_weight_by_its_sign(rng: Stream) -> None:
    tile = pair(rng)
    weight = torch.linspace(-1.0, 1.0, 12).view(3, 4)
    tile.set_weight(weight)
    torch.testing.assert_close(tile.weight, weight)
    torch.testing.assert_close(tile.state[0], weight.clamp(min=0))
    torch.testing.assert_close(tile.state[1], weight.clamp(max=0))


def test_a_pair_only_ever_grows(rng: Stream) -> None:
    tile = pair(rng)
    tile.set_weight(torch.full((3, 4), 0.3))
    model, cells, before = tile.device, tile.cells, tile.state
    first = replace(cells, step_up=cells.step_up[0], w_max=cells.w_max[0], w_min=cells.w_min[0])
    up = response.step(model.response(first), before[0], up=True)
    tile.pulse(torch.ones(3, 4))
    torch.testing.assert_close(tile.state[0] - before[0], up)
    assert torch.equal(tile.state[1], before[1])
    middle = tile.state
    tile.pulse(-torch.ones(3, 4))
    assert torch.equal(tile.state[0], middle[0])
    assert (tile.state[1] < middle[1]).all()
    assert tile.pulses == 2 * 12


@pytest.mark.few(1)
@every_engine
def test_engines_agree_on_a_pair(engine: EngineParameters, rng: Stream) -> None:
    device = catalogue.alike("pcm", dw_min=0.001, dw_min_std=0.0)
    update = basic(UpdateParameters, desired_bl=31)
    x, d = batch(rng, 6, 2, 3)
    results = []
    for one in (PULSE, engine):
        tile = cell(device, (1500, 2, 3), rng.fork(type(one).__name__), one)
        tile.set_weight(torch.full((1500, 2, 3), 0.2))
        wide = [t.expand(1500, *t.shape) for t in (x, d)]
        tile.update(plan_pulses(*wide, 0.01, device.granularity, update), update)
        results.append(tile.weight)
    for i in range(2):
        for j in range(3):
            change = float((results[0][:, i, j] - 0.2).mean().abs())
            expect.same_mean(results[0][:, i, j], results[1][:, i, j], slack=0.02 * change)


@pytest.mark.parametrize("name", ["pcm", "soft_bounds", "pow_step", "piecewise_step"])
def test_a_pulse_of_a_pair_is_that_of_its_model_upwards(name: str, rng: Stream) -> None:
    one = {"n_devices": 2, "update_policy": "one_sided", "w_min": 0.0, "w_min_dtod": 0.0}
    tile = cell(catalogue.load(name, **one), (30, 40), rng)
    tile.set_weight(0.5 * rng.fork("w").normal(30, 40, like=tile.weight))
    mirror, cells, v = tile.cells.extra["mirror"], tile.cells, tile.state
    law, own = tile.bar.response, tile.device.response(unmirrored(cells))
    noise = rng.fork("noise").normal(*v.shape, like=v)
    for each in (noise, None):
        moved = response.pulse(law, v, mirror, cells, each)
        expected = response.pulse(own, v * mirror, torch.ones_like(v), unmirrored(cells), each)
        torch.testing.assert_close(moved, expected * mirror)
        assert torch.equal(response.pulse(law, v, -mirror, cells, each), v)


def test_refresh_keeps_the_weight_and_frees_the_pair(rng: Stream) -> None:
    tile = pair(rng, (40, 50), reset=0.0, reset_dtod=0.0, reset_std=0.0)
    tile.set_weight(torch.zeros(40, 50))
    tile.state = torch.stack([torch.full((40, 50), 1.6), torch.full((40, 50), -0.9)])
    tile._show(torch.ones_like(tile.state, dtype=torch.bool))
    tile.end_batch()
    one = tile.device.response(catalogue.alike("pcm").draw((1, 1), Stream(0)))
    step = response.step(one, torch.full((1, 1), 0.7), up=True)
    assert (tile.weight - 0.7).abs().median() < step.item()
    assert (tile.state.abs() < 0.75 * 2.0).all() and (tile.state.abs().amin(0) == 0).all()


def test_a_pair_below_the_thresholds_is_left_alone(rng: Stream) -> None:
    tile = pair(rng)
    tile.set_weight(torch.full((3, 4), 1.7))
    before = tile.state
    tile.end_batch()
    assert torch.equal(tile.state, before)


def test_cells_survive_save_and_load(rng: Stream) -> None:
    device = basic(SoftBounds, n_devices=3, update_policy="single_sequential", write_noise_std=2.0)
    first, second = cell(device, (4, 5), rng.fork("a")), cell(device, (4, 5), rng.fork("b"))
    first.pulse(torch.ones(4, 5))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.weight, second.weight)
    for tile in (first, second):
        tile.draws = Stream(5)
        tile.pulse(torch.ones(4, 5))
    assert torch.equal(first.state, second.state) and torch.equal(first.weight, second.weight)


@every_engine
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_each_device_of_a_one_sided_pair_is_charged_with_the_pulses_of_its_own_direction(
    engine: EngineParameters, backend: str, rng: Stream
) -> None:
    device = basic(
        SoftBounds, n_devices=2, update_policy="one_sided", dw_min=0.001, w_min=0.0, w_max=10.0, **ALIKE
    )
    tile = cell(device, (3, 5), rng, replace(engine, backend=backend))
    d = torch.tensor([1.0, -1.0, -1.0]).expand(40, 3)  # the first row is only ever pulsed down
    update = basic(UpdateParameters, desired_bl=10)
    tile.update(plan_pulses(torch.ones(40, 5), d, 0.005, 0.001, update), update)
    up, down = tile.pulses_given
    assert (up[1:] > 0).all() and (down[0] > 0).all()
    assert not up[0].any() and not down[1:].any()
    # what did not pulse did not move, and each pulse is a step
    torch.testing.assert_close(tile.state.abs(), 0.001 * tile.pulses_given, rtol=0.05, atol=0.002)
