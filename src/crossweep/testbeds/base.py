"""The contract of a test-bed, and what several of them share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.rng import Stream
from crossweep.schema import Checked, Count, NotNegative
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True)
class BedResult:
    """What a run gave.

    Args:
        metrics: numbers by name; what a record keeps.
        steps: number of training samples after which each point of ``curve`` was taken [n].
        curve: what the test-bed plots over time [n, ...].
        cost: the weight's cost at the end, summed over instances.
        instances: independent repetitions.
    """

    metrics: dict[str, float]
    steps: Tensor
    curve: Tensor
    cost: dict[str, float]
    instances: Count


@dataclass(frozen=True, kw_only=True)
class AbstractTestbed(Checked, ABC):
    """A task for a single weight.

    Args:
        instances: independent repetitions (devices, inputs, noise) that train at once, >= 1.
        lr: analog learning rate.
    """

    metric_names: ClassVar[tuple[str, ...]]
    """Names of the metrics that ``run`` returns."""

    instances: Count
    lr: NotNegative

    @abstractmethod
    def run(self, rule: AbstractAlgorithm, factory: TileFactory, stream: Stream) -> BedResult:
        """Train one weight per instance.

        Args:
            rule: the training rule.
            factory: makes the tiles.
            stream: source of targets and inputs.
        """


def hold(weight: AnalogWeight, start: Tensor) -> None:
    """Set the weight so that even a device that cannot show it holds it until its first pulse.

    ``set_weight`` clips to what each device can show, which with a large reference need not contain zero. The
    reference simulator does not, so runs that are compared with it start here. Rules whose visible weight is
    not a single tile keep the clipped value.
    """
    weight.set_weight(start)
    for name, tile in weight.tiles().items():
        shown = start if name in ("single", "slow") else torch.zeros_like(start)
        if isinstance(weight, ChainWeight) and not weight.rule.transfer_columns:
            shown = shown.transpose(-1, -2)
        tile.state = shown + tile.reference
        tile.weight = shown.clone()


def like(factory: TileFactory) -> Tensor:
    """An empty tensor on the factory's device, for draws."""
    return torch.empty(0, device=factory.torch_device)
