"""Choppers: signs that flip now and then, so that a constant offset of the fast tile averages out."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from crossweep.errors import FieldError
from crossweep.rng import Stream
from crossweep.schema import Checked, Share


@dataclass(frozen=True, kw_only=True)
class ChopperRule:
    """When the chopper of a column flips: right after its own read.

    Args:
        probability: chance of a flip per read [1] in 0..1; 0 never flips.
        random: flip at random; else regularly, once in ``max(ceil(1/probability), 2)`` passes, all columns
            in the same pass (the last one of each period).

    Raises:
        ConfigError: probability outside 0..1.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024); aihwkit ``ChoppedTransferCompound``, CPU engine (its
        CUDA engine flips in the first pass of a period).
    """

    probability: float
    random: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise FieldError("probability", f"must lie in 0..1, got {self.probability}")

    @property
    def period(self) -> int:
        """Passes per period of a regular chopper."""
        return max(ceil(1 / self.probability), 2) if self.probability else 0

    def flips(self, passes: Tensor, shape: tuple[int, ...], stream: Stream, like: Tensor) -> Tensor:
        """Which of the reads end in a flip: bool ``shape``, whose last dimension is that of ``passes``."""
        if not self.probability:
            return torch.zeros(shape, dtype=torch.bool, device=like.device)
        if self.random:
            return stream.uniform(*shape, like=like) < self.probability
        regular = (passes % self.period) + 1 == self.period
        return regular.to(like.device).expand(shape)


NO_CHOPPER = ChopperRule(probability=0.0)


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
    def chopper_rule(self) -> ChopperRule:
        """Flip rule of the columns' choppers."""
        return ChopperRule(probability=self.in_chop_prob, random=self.in_chop_random)

    @property
    def row_flip_prob(self) -> float:
        """Flip chance of a row's chopper per full pass."""
        return self.out_chop_prob
