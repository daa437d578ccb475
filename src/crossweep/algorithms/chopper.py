"""Choppers: signs that flip now and then, so that a constant offset of the fast tile averages out."""

from dataclasses import dataclass

from crossweep.engine.program import Chopper
from crossweep.schema import Checked, Share


@dataclass(frozen=True, kw_only=True)
class Chopped(Checked):
    """Chopper parameters of a transfer rule.

    Args:
        in_chop_prob: flip chance of a column's chopper per read (or 1/period).
        in_chop_random: flip at random or regularly.
        out_chop_prob: flip chance of a row's chopper per full pass.

    Raises:
        ConfigError: a probability lies outside 0..1.
    """

    in_chop_prob: Share = 0.1
    in_chop_random: bool = True
    out_chop_prob: Share = 0.0

    @property
    def chopper(self) -> Chopper:
        """Signs of the gradient on A."""
        return Chopper(probability=self.in_chop_prob, random=self.in_chop_random, rows=self.out_chop_prob)
