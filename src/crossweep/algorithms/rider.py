"""RIDER: residual learning whose fast tile is read, and shown, relative to a running mean of its reads."""

from dataclasses import dataclass, replace

from crossweep.algorithms.moment import Moment
from crossweep.algorithms.tiki_taka import BufferedTransfer, TikiTaka
from crossweep.engine.program import Buffered
from crossweep.schema import PositiveShare


@dataclass(frozen=True, kw_only=True)
class Residual(BufferedTransfer):
    """A buffered transfer whose visible weight contains, with the share ``gamma``, A less its digital reference."""

    @property
    def shows_excess(self) -> bool:
        return self.gamma > 0

    def transfer_rate(self, j: int, now: Moment) -> float:
        return TikiTaka.transfer_rate(self, j, now)  # the published rate does not contain g


@dataclass(frozen=True, kw_only=True)
class RIDER(Residual):
    """The gradient is taken at ``C + g (A - Q)`` and goes onto A; at each read v of a column C moves, through the buffer,
    by ``transfer_lr (v - Q)``, and then ``Q <- (1 - eta) Q + eta v`` (digital) follows A's symmetry point.

    Without noise of the gradient, pulses of both directions let A relax to its symmetry point, and Q with it, at the
    rate eta. What C has received at any time is ``transfer_lr / eta`` times what Q has moved since the beginning: RIDER
    learns while A is on its way, and E-RIDER, whose choppers send A back and forth, for ever.

    Args:
        reference_rate: eta, weight of a new read in Q [1], in (0, 1].

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Xiao et al., arXiv 2602.21321 (ICML 2026), algorithm 1.
    Differs: writes go through the digital buffer H of TTv2, as their experiments have it for E-RIDER.
    """

    reference_rate: PositiveShare

    def what(self, j: int, now: Moment) -> Buffered:
        return replace(super().what(j, now), past=self.reference_rate, follows=True)
