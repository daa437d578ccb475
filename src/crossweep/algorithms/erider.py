"""E-RIDER: residual learning with a tracked symmetry point. A reconstruction, see below."""

from dataclasses import dataclass, replace

from crossweep.algorithms.chopper import Chopped
from crossweep.algorithms.moment import Moment
from crossweep.algorithms.tiki_taka import PulsedTransfer
from crossweep.engine.program import Smoothed
from crossweep.schema import PositiveShare

COARSE = 20  # states of A whose first read tells as much of its symmetry point as is known before; chosen


@dataclass(frozen=True, kw_only=True)
class ERIDER(Chopped, PulsedTransfer):
    """The gradient, with chopped signs, is taken at ``C + gamma c (A - Q)`` and goes onto A; at each read of
    a column ``Q <- (1 - eta) Q + eta v`` follows A's symmetry point, and ``C += transfer_lr c (v - Q)`` by a
    pulsed update.

    Because the chopper inverts the signal on A but not its symmetry point, the slow average Q keeps the
    point and loses the signal. ``in_chop_prob = 0`` is RIDER.

    Args:
        reference_rate: least eta, weight of a new read in Q [1], in (0, 1]; the k-th read since the weight was
            written has ``max(eta, 1 / (k + n))``: Q is at first the mean of these reads and n zeros, n = states /
            ``COARSE``, because A of many states does not show its symmetry point before it has forgotten.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Xiao et al., arXiv 2602.21321 (ICML 2026), of which only the abstract was at hand: **the equations
        are a reconstruction from third-party notes** and no published number has been compared. Q is one
        digital number per device here (the paper keeps an analog copy that is corrected now and then).
    """

    gamma: float = 0.1
    reference_rate: PositiveShare = 0.05

    @property
    def shows_excess(self) -> bool:
        return True

    def what(self, j: int, now: Moment) -> Smoothed:
        prior = now.devices[0].states / COARSE
        return replace(super().what(j, now), rate=self.reference_rate, prior=prior, excess=True)
