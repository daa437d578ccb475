"""Residual learning version 2: residual learning through a leaky digital buffer."""

from dataclasses import dataclass, replace

from crossweep.algorithms.moment import Moment
from crossweep.algorithms.tiki_taka import PulsedTransfer
from crossweep.engine.program import Smoothed
from crossweep.schema import NotNegative, PositiveShare


@dataclass(frozen=True, kw_only=True)
class RLv2(PulsedTransfer):
    """The gradient is taken at ``C + gamma A``; ``H <- (1 - b) H + b v`` smooths the reads of A; where
    ``|H| > thres_scale dw_min`` the slow tile moves by a pulsed update ``C += transfer_lr H``.

    Against TTv2: H forgets (it is an average, not a sum, and is not emptied), and A is part of the visible
    weight.

    Args:
        buffer_rate: b, weight of a new read in H [1], in (0, 1].
        thres_scale: smallest ``|H|`` that is transferred [steps of C], >= 0.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Wu et al., arXiv 2502.06309 (NeurIPS 2025), eqs. 14-15.
    """

    buffer_rate: PositiveShare
    thres_scale: NotNegative

    def what(self, j: int, now: Moment) -> Smoothed:
        least = self.thres_scale * now.devices[1].granularity
        return replace(super().what(j, now), rate=self.buffer_rate, least=least)
