"""How a layer's weight is laid out on tiles: splitting by size, scaling to the devices' range."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from crossweep.schema import Checked, PositiveShare, Whole

WeightScaling = Literal["none", "tile", "row"]


@dataclass(frozen=True, kw_only=True)
class TileMapping(Checked):
    """Layout of a weight on crossbars.

    Args:
        max_tile_size: largest number of rows or columns of one tile [1], >= 1; 0 never splits.
        weight_scaling: one digital factor per ``tile``, per output ``row``, or ``none`` (weights are stored
            as they are and clipped).
        omega: share of the mean device range that the largest weight is scaled to [1] in (0, 1].

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: aihwkit ``MappingParameter`` (``weight_scaling_omega``, there in weight units).
    """

    max_tile_size: Whole
    weight_scaling: WeightScaling
    omega: PositiveShare

    def pieces(self, size: int) -> list[int]:
        """Sizes of the tiles along one direction: as few as possible, differing by one at most, larger ones
        first."""
        count = 1 if not self.max_tile_size else -(-size // self.max_tile_size)
        small, larger = divmod(size, count)
        return [small + 1] * larger + [small] * (count - larger)

    def scale(self, weight: Tensor, bound: float) -> Tensor:
        """Digital factor ``[..., d, 1]`` that a tile's weight is divided by before it is written.

        Args:
            weight: [..., d, x].
            bound: the smaller of the device's mean bounds [w].
        """
        if self.weight_scaling == "none":
            return torch.ones_like(weight[..., :1])
        dims = (-1,) if self.weight_scaling == "row" else (-2, -1)
        largest = weight.abs().amax(dims, keepdim=True)
        scale = torch.where(largest > 0, largest / (self.omega * bound), torch.ones_like(largest))
        return scale.expand_as(weight[..., :1]).contiguous()
