"""How a layer's weight lies on its tiles: scale of each row, error of what is written."""

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.nn.tiled_weight import TiledWeight
from crossweep.tiles.mapping import TileMapping, WeightScaling
from tests import expect
from tests.algorithms.rigs import factory, ideal, normal


def laid_out(weight: Tensor, scaling: WeightScaling, noise: float = 0.0, w_min: float = -1.0) -> TiledWeight:
    mapping = TileMapping(max_tile_size=0, weight_scaling=scaling, omega=0.8)
    return TiledWeight(weight, AnalogSGD(), mapping, factory(ideal(0.001, w_min=w_min)), transfer_noise=noise)


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
