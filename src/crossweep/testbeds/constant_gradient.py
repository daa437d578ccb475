"""A constant gradient with an offset of the fast tile's symmetry point: which rules still go the right
way?
"""

from dataclasses import dataclass

import torch

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.rng import Stream
from crossweep.schema import Count, Share
from crossweep.testbeds.base import AbstractTestbed, BedResult, hold, like
from crossweep.testbeds.correlation_detection import split
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class ConstantGradient(AbstractTestbed):
    """A square tile sees ``x = -X``, ``d = c X + (1 - c) Y`` with ``X, Y ~ N(0, 1)``: the wanted change is
    ``+lr c`` on the diagonal and zero elsewhere, whatever the weights.

    Metrics: mean and standard deviation of the weights on and off the diagonal after the last sample
        (``on_mean``, ``on_std``, ``off_mean``, ``off_std``). The curve holds ``on_mean, off_mean`` after
        every block.

    Args:
        size: rows and columns.
        samples: length of training.
        block: samples per update call; inputs do not depend on the weights, so it only sets the curve's
            resolution.
        correlation: c [1] in 0..1.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024), Fig. 3.
    """

    metric_names = ("on_mean", "on_std", "off_mean", "off_std")

    size: Count
    samples: Count
    block: Count
    correlation: Share

    def run(self, rule: AbstractAlgorithm, factory: TileFactory, stream: Stream) -> BedResult:
        shape = (self.instances, self.size, self.size)
        weight, empty = rule.build(shape, factory), like(factory)
        hold(weight, torch.zeros(shape, device=empty.device))
        steps, curve = [], []
        for start in range(0, self.samples, self.block):
            count = min(self.block, self.samples - start)
            x = stream.fork("x").normal(self.instances, count, self.size, like=empty)
            y = stream.fork("y").normal(self.instances, count, self.size, like=empty)
            weight.update(-x, self.correlation * x + (1 - self.correlation) * y, self.lr)
            on, off = split(weight.weight)
            steps.append(start + count)
            curve.append(torch.stack([on.mean(), off.mean()]).cpu())
        metrics = {"on_mean": on.mean(), "on_std": on.std(), "off_mean": off.mean(), "off_std": off.std()}
        numbers = {name: float(value) for name, value in metrics.items()}
        return BedResult(numbers, torch.tensor(steps), torch.stack(curve), weight.cost(), self.instances)
