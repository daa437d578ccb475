"""The digital baseline, and its exact counterpart on a floating-point tile."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.common import Number, over
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class Digital(AbstractAlgorithm):
    """Layers stay ordinary torch layers; a weight built by itself follows ``W <- W - lr d x^T`` in floating
    point.
    """

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "DigitalWeight":
        return DigitalWeight(shape, factory)

    @property
    def is_digital(self) -> bool:
        return True


class DigitalWeight(AnalogWeight):
    """A floating-point weight behind the same reads as a tile."""

    values: Tensor

    def __init__(self, shape: tuple[int, ...], factory: TileFactory) -> None:
        super().__init__(shape, factory)
        self.register_buffer("values", torch.zeros(shape, device=factory.torch_device))

    @property
    def weight(self) -> Tensor:
        return self.values

    def set_weight(self, weight: Tensor) -> None:
        self.values = weight.expand_as(self.values).clone()

    def train_on(self, x: Tensor, d: Tensor, lr: Number) -> None:
        self.values = self.values - over(lr, d) * d.transpose(-1, -2) @ x
