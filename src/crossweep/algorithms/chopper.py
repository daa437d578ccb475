"""Choppers: signs that flip now and then, so that a constant offset of the fast tile averages out."""

from dataclasses import dataclass

from crossweep.algorithms.moment import Moment
from crossweep.algorithms.tiki_taka import BufferedTransfer
from crossweep.engine.program import Chopper
from crossweep.errors import FieldError
from crossweep.schema import NotNegative, Share


@dataclass(frozen=True, kw_only=True)
class Chopped(BufferedTransfer):
    """Parameters of a buffered transfer whose gradient signs are chopped.

    Args:
        in_chop_prob: flip chance of a column's chopper per read (or 1/period).
        in_chop_random: flip at random or regularly.
        in_chop_turns: least mean number of samples between two flips of a column, in *turns*, >= 0; 0: none. A turn is the
            number of samples in which the strongest cross-point takes A across its range: states of A over wanted pulses.
            After a flip A has to turn round, so columns that are read often, or devices of many states, get rarer
            flips than ``in_chop_prob``. Needs ``auto_scale``, which sets the pulses that are wanted.
        out_chop_prob: flip chance of a row's chopper per full pass.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024); ``in_chop_turns`` is this project's own.
    """

    in_chop_prob: Share
    in_chop_random: bool
    in_chop_turns: NotNegative
    out_chop_prob: Share

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.in_chop_turns and not (self.auto_scale and (self.fast_lr or self.fast_change)):
            got = f"{self.in_chop_turns} with auto_scale={self.auto_scale}, fast_lr={self.fast_lr}"
            raise FieldError(
                "in_chop_turns, .auto_scale, .fast_lr",
                f"turns are counted in the pulses that auto_scale wants, got {got}",
            )

    def chopper(self, now: Moment) -> Chopper:
        probability = self.in_chop_prob
        if self.in_chop_turns:
            between_reads = self.samples_between(self.every(0, now), now) * now.slices / self.at_once
            fast = now.devices[now.gradient]
            turn = fast.states * fast.granularity / self._rate(now)[0]
            probability = min(probability, between_reads / (self.in_chop_turns * turn))
        return Chopper(probability=probability, random=self.in_chop_random, rows=self.out_chop_prob)
