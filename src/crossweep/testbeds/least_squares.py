"""Linear least squares: convergence to a known solution, with and without gradient noise."""

from dataclasses import dataclass
from typing import Annotated

import torch

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.rng import Stream
from crossweep.schema import Count, NotNegative, Range
from crossweep.testbeds.base import AbstractTestbed, BedResult, hold, like
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class LeastSquares(AbstractTestbed):
    """``f(w) = |A w - b|^2 / (2 m)`` with ``b = A w*``: the whole set of ``m`` rows is one mini-batch of a
    single-row tile, ``x = A_i``, ``d = (w A_i - b_i) / m + noise``.

    Metrics: ``loss`` and ``distance = |w - w*| / |w*|``, means over instances and the last tenth of the
        curve. The curve holds the mean loss after every step.

    Args:
        size: length of w (D).
        rows: number of samples m.
        steps: mini-batches.
        matrix_std: standard deviation of the entries of A.
        solution_std: standard deviation of the entries of w* [w].
        start: initial value of every weight [w].
        gradient_noise: standard deviation of the noise added to every ``d``.

    Source: Wu et al., arXiv 2502.06309, Fig. 2 (D = 50, m = 100, A ~ N(0, 1), w* ~ N(0, 0.25), start 1) and
    arXiv 2406.12774, Figs. 3-4 (D = 40, 0.5, 0.3, noise 0.1).
    """

    metric_names = ("loss", "distance")

    size: Count
    rows: Count
    steps: Annotated[int, Range(least=10)]
    matrix_std: NotNegative
    solution_std: NotNegative
    start: float
    gradient_noise: NotNegative

    def run(self, rule: AbstractAlgorithm, factory: TileFactory, stream: Stream) -> BedResult:
        many, empty = self.instances, like(factory)
        matrix = self.matrix_std * stream.fork("matrix").normal(many, self.rows, self.size, like=empty)
        solution = self.solution_std * stream.fork("solution").normal(many, 1, self.size, like=empty)
        weight = rule.build((many, 1, self.size), factory)
        hold(weight, torch.full((many, 1, self.size), self.start, device=empty.device))
        goal = matrix @ solution.transpose(-1, -2)
        losses, distances = [], []
        for _ in range(self.steps):
            residual = matrix @ weight.weight.transpose(-1, -2) - goal  # [instances, m, 1]
            losses.append((residual.square().mean((-2, -1)) / 2).mean().cpu())
            distances.append(((weight.weight - solution).norm() / solution.norm()).cpu())
            noise = self.gradient_noise * stream.fork("noise").normal(*residual.shape, like=empty)
            weight.update(matrix, residual / self.rows + noise, self.lr)
        curve, away = torch.stack(losses), torch.stack(distances)
        tail = self.steps // 10
        metrics = {"loss": float(curve[-tail:].mean()), "distance": float(away[-tail:].mean())}
        return BedResult(metrics, torch.arange(self.steps), curve, weight.cost(), self.instances)
