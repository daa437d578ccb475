"""Weight programming: a layer learns a known matrix; how far from it does it stay?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.errors import FieldError
from crossweep.rng import Stream
from crossweep.schema import Count, NotNegative, PositiveShare
from crossweep.testbeds.base import AbstractTestbed, BedResult, hold, like
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class WeightProgramming(AbstractTestbed):
    """``d = (W - T) x`` with ``x ~ N(0, 1)`` and a target ``T`` that is the same in all instances.

    Metrics: ``weight_error``, the standard deviation of ``W - T`` [% of w_max = 1] as the mean of the last
    ``tail`` share of the checkpoints and over instances; ``weight_error_std`` over instances. The curve
    holds every instance's error at every checkpoint [n, instances].

    Args:
        size: rows and columns.
        samples: length of training.
        block: samples whose errors are computed with the same weight. With ``gamma = 0`` and a block that
            divides ``transfer_every`` this changes nothing but the running time, for the visible weight
            moves at transfers only; longer blocks are delayed feedback.
        target_std: standard deviation of ``T`` [w].
        checkpoints: points of the curve.
        tail: share of them that the error is averaged over [1] in (0, 1].

    Raises:
        ConfigError: ``samples`` is shorter than the checkpoints need.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024), Fig. 4.
    Differs: the error is not divided by the number of outputs.
    """

    metric_names = ("weight_error", "weight_error_std")

    size: Count
    samples: Count
    block: Count
    target_std: NotNegative
    checkpoints: Count
    tail: PositiveShare

    def __post_init__(self) -> None:
        super().__post_init__()
        least = self.block * self.checkpoints
        if self.samples < least:
            raise FieldError(
                "samples, .block, .checkpoints",
                f"samples must be >= block * checkpoints = {least}, got {self.samples}",
            )

    def run(self, rule: AbstractAlgorithm, factory: TileFactory, stream: Stream) -> BedResult:
        several = (self.instances,) if self.instances > 1 else ()  # a single crossbar has compiled windows
        shape = (*several, self.size, self.size)
        weight, empty = rule.build(shape, factory), like(factory)
        target = self.target_std * stream.fork("target").normal(self.size, self.size, like=empty)
        hold(weight, torch.zeros(shape, device=empty.device))
        steps, curve = [], []
        blocks = self.samples // self.block
        for t in range(1, blocks + 1):
            x = stream.fork("x").normal(self.block, self.size, like=empty)
            x = x.expand(*several, -1, -1)
            weight.update(x, x @ (weight.weight - target).transpose(-1, -2), self.lr)
            if t % (blocks // self.checkpoints) == 0:
                steps.append(t * self.block)
                curve.append(error(weight.weight, target).reshape(-1).cpu())
        errors = torch.stack(curve)
        last = errors[-max(1, round(self.tail * len(curve))) :].mean(0)
        spread = float(last.std()) if self.instances > 1 else 0.0
        metrics = {"weight_error": float(last.mean()), "weight_error_std": spread}
        return BedResult(metrics, torch.tensor(steps), errors, weight.cost(), self.instances)


def error(weight: Tensor, target: Tensor) -> Tensor:
    """Standard deviation of the difference [%], one number per instance."""
    return 100 * (weight - target).flatten(-2).std(-1)
