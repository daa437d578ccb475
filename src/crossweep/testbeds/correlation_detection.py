"""Correlation detection: do weights follow the gradients that are there, and only those?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.rng import Stream
from crossweep.schema import Count, NotNegative, Share
from crossweep.testbeds.base import AbstractTestbed, BedResult, hold, like
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class CorrelationDetection(AbstractTestbed):
    """A square tile sees ``x ~ N(0, 1)`` and ``d = c x + (1 - c) N(0, 1)``, one sample per update, whatever
    its weights: the expected gradient is ``c`` on the diagonal and zero elsewhere.

    Diagonal weights should move to negative values, the others should stay at zero. A symmetry-point offset
    shows in all of them where a rule integrates it.

    Metrics: mean and standard deviation over instances and elements of the weights averaged over the last
        ``tail`` updates, on (``on_mean``, ``on_std``) and off (``off_mean``, ``off_std``) the diagonal, and
        their ``separation`` ``(off - on) / sqrt((var_on + var_off) / 2)``.

    Args:
        size: rows and columns.
        samples: length of training.
        tail: updates averaged over.
        correlation: c [1] in 0..1.
        start: standard deviation of the initial weights [w].

    Source: aihwkit example 26; reference values in ``tests/testbeds``.
    """

    metric_names = ("on_mean", "on_std", "off_mean", "off_std", "separation")

    size: Count
    samples: Count
    tail: Count
    correlation: Share
    start: NotNegative

    def run(self, rule: AbstractAlgorithm, factory: TileFactory, stream: Stream) -> BedResult:
        shape = (self.instances, self.size, self.size)
        weight, empty = rule.build(shape, factory), like(factory)
        hold(weight, self.start * stream.fork("start").normal(*shape, like=empty))
        total, curve, steps = torch.zeros(shape, device=empty.device), [], []
        for t in range(1, self.samples + 1):
            x = stream.fork("x").normal(self.instances, 1, self.size, like=empty)
            noise = stream.fork("d").normal(self.instances, 1, self.size, like=empty)
            weight.update(x, self.correlation * x + (1 - self.correlation) * noise, self.lr)
            if t > self.samples - self.tail:
                total += weight.weight
            if t % max(self.samples // 100, 1) == 0:
                steps.append(t)
                curve.append(_on_off(weight.weight))
        on, off = split(total / self.tail)
        metrics = {"on_mean": on.mean(), "on_std": on.std(), "off_mean": off.mean(), "off_std": off.std()}
        spread = ((on.var() + off.var()) / 2).sqrt()
        metrics["separation"] = (off.mean() - on.mean()) / spread
        return BedResult(
            {name: float(value) for name, value in metrics.items()},
            torch.tensor(steps),
            torch.stack(curve),
            weight.cost(),
            self.instances,
        )


def split(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Elements on and off the diagonal, of all instances: two vectors."""
    diagonal = torch.eye(weight.shape[-1], dtype=torch.bool, device=weight.device)
    return weight[..., diagonal].flatten(), weight[..., ~diagonal].flatten()


def _on_off(weight: Tensor) -> Tensor:
    on, off = split(weight)
    return torch.stack([on.mean(), on.std(), off.mean(), off.std()]).cpu()
