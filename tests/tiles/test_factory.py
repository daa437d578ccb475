"""What a factory hands to the tiles: streams that do not mix, and a symmetry point where it belongs."""

from dataclasses import replace

import pytest
import torch
from tests.algorithms.rigs import factory, normal, soft
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.factory import Role

SHAPE = (6, 7)


def tile(population: int, draws: int, **device: float) -> AnalogTile:
    given = factory(soft(0.05, **device))
    return replace(given, population=Stream(population), draws=Stream(draws)).tile("single", SHAPE)


def pulsed(made: AnalogTile) -> Tensor:
    """The states after a mini-batch."""
    update = basic(UpdateParameters, desired_bl=5)
    made.update(plan_pulses(normal(1, 9, 7), normal(2, 9, 6), 0.1, 0.05, update), update)
    return made.state


def test_pulses_know_nothing_of_the_population() -> None:
    """Devices without spread: whatever the seed of the population, the same pulses give the same states."""
    first = pulsed(tile(1, 5))
    assert torch.equal(first, pulsed(tile(2, 5)))
    assert not torch.equal(first, pulsed(tile(1, 6)))


def test_devices_know_nothing_of_the_pulses() -> None:
    first, other, fresh = tile(1, 5, w_max_dtod=0.3), tile(1, 6, w_max_dtod=0.3), tile(2, 5, w_max_dtod=0.3)
    assert torch.equal(first.cells.w_max, other.cells.w_max)
    assert not torch.equal(first.cells.w_max, fresh.cells.w_max)
    pulsed(first)
    assert torch.equal(tile(1, 5, w_max_dtod=0.3).cells.w_max, first.cells.w_max)


@pytest.mark.parametrize(
    ("tiles", "skewed"),
    [("fast", {"fast", "single"}), ("slow", {"slow", "single"}), ("both", {"fast", "slow", "single"})],
)
def test_the_named_tiles_are_skewed_and_no_others(tiles: str, skewed: set[Role]) -> None:
    given = factory(soft(0.05), tiles=tiles, skew=0.2, variability=0.1)
    for role in ("fast", "slow", "single"):
        made = given.tile(role, (40, 40))
        left = made.device.symmetry_point(made.cells) - made.reference  # type: ignore[operator]
        assert (float(left.abs().max()) > 0.1) == (role in skewed), role
