"""Level ``mean``: expected counts and their variance from products of the batch; no pulse trains at all."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.errors import ConfigError
from crossweep.rng import Stream
from crossweep.tiles.engine.base import AbstractEngine, Crossbar
from crossweep.tiles.engine.response import respond
from crossweep.tiles.engine.segments import blocks, segments
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters


@dataclass(frozen=True, kw_only=True)
class MeanEngine(AbstractEngine):
    """Up and down counts drawn with the trains' mean and variance.

    Count per device: mean ``sum_b BL p_x p_d``, variance ``sum_b BL p_x p_d (1 - p_x p_d)``, independently
    for every device: the correlations along rows and columns are lost.

    Args:
        max_relaxation: largest typical relaxation L of one segment [1], > 0 (as at the level ``count``).

    Raises:
        ConfigError: ``max_relaxation`` is not positive.
    """

    max_relaxation: float = 0.5

    def __post_init__(self) -> None:
        if not self.max_relaxation > 0:
            raise ConfigError(f"engine.max_relaxation: must be > 0, got {self.max_relaxation}")

    def apply(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        given = torch.zeros_like(v)
        for start, stop in segments(plan, bar, self.max_relaxation):
            part = plan.samples(start, stop)
            up, down = draw_counts(part, stream)
            moved = respond(v, up, down, bar, stream, blocks(part))
            v = torch.where(up + down > 0, moved, v)
            given += up + down
        return v, given


def draw_counts(plan: PulsePlan, stream: Stream) -> tuple[Tensor, Tensor]:
    """Up and down counts of each device [..., d, x]."""
    p_x, p_d = plan.p_x, plan.p_d
    weighted = p_d * plan.bl.unsqueeze(-1)
    total = weighted.transpose(-1, -2) @ p_x
    net = -((weighted * plan.sign_d).transpose(-1, -2) @ (p_x * plan.sign_x))
    squares = (weighted * p_d).transpose(-1, -2) @ p_x.square()
    thinning = (1 - squares / total.clamp(min=1e-12)).clamp(0, 1)
    up, down = (
        _whole((total + sign * net).clamp(min=0) / 2, thinning, stream.fork(name))
        for name, sign in (("up", 1), ("down", -1))
    )
    return up, down


def _whole(mean: Tensor, thinning: Tensor, stream: Stream) -> Tensor:
    """Whole counts with the given mean and variance ``mean * thinning``: binomial, ``p = 1 - thinning``.

    ``mean / p`` trials, rounded at random to a whole number, keep the mean exactly and leave the variance
    within
    ``p^2 / 4``; for equal samples the counts are exact.
    """
    p = (1 - thinning).clamp(min=1e-4)
    trials = torch.floor(mean / p + stream.uniform(*mean.shape, like=mean))
    return torch.binomial(trials, p, generator=stream.generator(mean.device))
