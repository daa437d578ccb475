"""What is drawn once is drawn on the CPU: a seed is the same crossbars, with the same errors of writing, on every device.

The meta device stands in for an accelerator: it knows shapes and places, and generators refuse it.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch

from crossweep.algorithms.base import AnalogWeight
from crossweep.bench.basic import basic
from crossweep.nn.tiled_weight import TiledWeight
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import TileMapping
from tests.algorithms.rigs import DEVICES, factory, normal
from tests.contracts.test_algorithms import ANALOG, SHAPE, rule
from tests.devices import catalogue

META = torch.device("meta")


def drawn(stream: Stream) -> dict[str, Any]:
    return {
        path: (state["calls"], {name: bits.tolist() for name, bits in state["generators"].items()})
        for path, state in stream.state_dict().items()
    }


def pair(device: Any, seed: int = 1) -> tuple[TileFactory, TileFactory]:
    made = (factory(device, seed=seed, skew=0.1, variability=0.2) for _ in range(2))
    here, there = made
    return here, replace(there, torch_device=META)


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_devices_are_drawn_on_the_cpu(name: str) -> None:
    device = catalogue.load(name)
    here, there = (factory(device) for _ in range(2))
    there = replace(there, torch_device=META)
    tiles = [made.tile("fast", SHAPE) for made in (here, there)]
    assert {tensor.device for tensor in tiles[1].buffers()} == {META}
    assert drawn(here.population) == drawn(there.population) != {}


@pytest.mark.parametrize("name", [name for name in ANALOG if name != "zero_shifting"])
def test_every_rule_builds_anywhere(name: str) -> None:
    weights: list[AnalogWeight] = []
    for made in pair(DEVICES["relaxing"]):
        weights.append(rule(name).build(SHAPE, made))
        assert list(drawn(made.draws)) == []
    assert {tensor.device for tensor in weights[1].buffers()} == {META}


def test_errors_of_writing_are_drawn_on_the_cpu() -> None:
    here, there = pair(DEVICES["soft_bounds"])
    start = normal(3, 9, 10)
    for made, weight in ((here, start), (there, start.to(META))):
        TiledWeight(weight, rule("cttv2"), basic(TileMapping, max_tile_size=6), made, transfer_noise=0.1)
    assert drawn(here.draws) == drawn(there.draws) != {}


def test_what_devices_do_between_pulses_is_drawn_on_the_cpu() -> None:
    here, there = pair(
        replace(DEVICES["relaxing"], write_noise_std=0.0)
    )  # what a tile shows is the engine's to draw
    for made in (here, there):
        tile = made.tile("fast", SHAPE)
        tile.end_batch()
        tile.rest(10.0)
    assert drawn(here.draws) == drawn(there.draws)
    assert len(drawn(here.draws)) == 4
