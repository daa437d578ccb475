"""Level ``mean``: expected counts and their variance from products of the batch; no pulse trains at all."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.rng import Stream
from crossweep.tiles.engine.base import AbstractEngine, Crossbar
from crossweep.tiles.engine.response import respond
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters


@dataclass(frozen=True, kw_only=True)
class MeanEngine(AbstractEngine):
    """Up and down counts drawn from normal distributions with the trains' mean and variance.

    Count per device: mean ``sum_b BL p_x p_d``, variance ``sum_b BL p_x p_d (1 - p_x p_d)``, independently for every
    device: the correlations along rows and columns are lost, and so is the order of the samples.
    """

    def apply(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        weighted = plan.p_d * plan.bl.unsqueeze(-1)
        total = weighted.transpose(-1, -2) @ plan.p_x
        net = -((weighted * plan.sign_d).transpose(-1, -2) @ (plan.p_x * plan.sign_x))
        squares = (weighted * plan.p_d).transpose(-1, -2) @ plan.p_x.square()
        thinning = (1 - squares / total.clamp(min=1e-12)).clamp(min=0)
        up, down = (
            _whole((total + sign * net).clamp(min=0) / 2, thinning, stream.fork(name))
            for name, sign in (("up", 1), ("down", -1))
        )
        return torch.where(up + down > 0, respond(v, up, down, bar, stream), v), up + down


def _whole(mean: Tensor, thinning: Tensor, stream: Stream) -> Tensor:
    """Whole counts with the given mean and variance ``mean * thinning``: binomial, ``p = 1 - thinning``.

    ``mean / p`` trials, rounded at random to a whole number, keep the mean exactly and leave the variance within
    ``p^2 / 4``; for equal samples the counts are exact.
    """
    p = (1 - thinning).clamp(min=1e-4)
    trials = torch.floor(mean / p + stream.uniform(*mean.shape, like=mean))
    return torch.binomial(trials, p, generator=stream.generator(mean.device))
