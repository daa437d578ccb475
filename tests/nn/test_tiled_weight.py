"""How a layer's weight lies on its tiles: scale of each row, error of what is written, devices of their own."""

from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.ttv1 import TTv1
from crossweep.bench.basic import basic
from crossweep.nn.convert import convert
from crossweep.nn.tiled_weight import TiledWeight
from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.mapping import TileMapping, WeightScaling
from tests import expect
from tests.algorithms.rigs import factory, ideal, normal, soft
from tests.nn.networks import build


def laid_out(weight: Tensor, scaling: WeightScaling, noise: float = 0.0, w_min: float = -1.0) -> TiledWeight:
    mapping = basic(TileMapping, max_tile_size=0, weight_scaling=scaling, omega=0.8)
    return TiledWeight(
        weight, basic(AnalogSGD), mapping, factory(ideal(0.001, w_min=w_min)), transfer_noise=noise
    )


@pytest.mark.parametrize("scaling", ["none", "tile", "row"])
def test_the_largest_weight_of_each_row_or_of_the_tile_fills_the_range(scaling: WeightScaling) -> None:
    weight = normal(1, 5, 7) * torch.tensor([[0.01], [0.1], [0.3], [0.05], [0.2]])
    made = laid_out(weight, scaling)
    (block,) = made.parts()
    largest = block.weight.abs().amax(-1)
    if scaling == "row":
        torch.testing.assert_close(largest, torch.full((5,), 0.8))
    elif scaling == "tile":
        torch.testing.assert_close(largest, weight.abs().amax(-1) * 0.8 / weight.abs().max())
    else:
        torch.testing.assert_close(largest, weight.abs().amax(-1))
    torch.testing.assert_close(made.logical_weight(), weight)
    x, d = normal(2, 3, 7), normal(3, 3, 5)
    torch.testing.assert_close(made.read(x), x @ weight.T)
    torch.testing.assert_close(made.read_transposed(d), d @ weight)


@pytest.mark.parametrize("w_min", [-1.0, -0.5])
def test_the_error_of_a_written_weight_is_a_share_of_the_upper_bound(w_min: float) -> None:
    """Of ``w_max`` also where the devices reach less far down, in tile units, whatever the weight and its scale."""
    weight = 0.1 * normal(1, 200, 200).clamp(-1, 1)
    (block,) = laid_out(weight, "tile", noise=0.02, w_min=w_min).parts()
    error = (block.weight - weight / block.scale).double()
    expect.mean(error, 0.0, std=0.02, detects=0.001)
    expect.variance(error, 0.02**2, detects=0.1)


def test_no_two_crossbars_of_a_network_share_devices_or_draws() -> None:
    """Layers, tiles of a layer and tiles of a chain are each drawn on their own, whatever their shape."""
    network = build(0, lambda: nn.Sequential(nn.Linear(6, 4), nn.Linear(6, 4)))
    mapping = basic(TileMapping, max_tile_size=3)
    convert(network, ["0", "1"], basic(TTv1, n_tiles=4), mapping, factory(soft(0.05, w_max_dtod=0.3)))
    bounds = [module.cells.w_max for module in network.modules() if isinstance(module, AnalogTile)]
    assert len(bounds) == 2 * 4 * 4
    assert not any(torch.equal(one, other) for one, other in combinations(bounds, 2))
    held = [
        item for module in network.modules() for item in vars(module).values() if isinstance(item, Stream)
    ]
    assert len({stream.path for stream in held}) == len(held) > len(bounds)
