"""Multi-tile residual learning: each further tile corrects what the coarser ones cannot represent."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from crossweep.algorithms.moment import Moment
from crossweep.algorithms.tiki_taka import PulsedTransfer
from crossweep.schema import Positive, Range

IMPATIENT = 4  # the first switches follow any rise of the loss, later ones two rises within PATIENCE epochs
PATIENCE = 5


@dataclass(frozen=True, kw_only=True)
class MRL(PulsedTransfer):
    """Visible weight ``sum_k gamma^(n-1-k) W_k``; the gradient goes onto the finest tile ``W_0``, and each
    tile is read column by column into the next coarser one, ``transfer_growth`` times as seldom from tile to
    tile.

    It is TTv1 with geometric series of shares, periods and rates. ``gamma`` should be a little above
    one over the number of states.

    Args:
        n_tiles: number of tiles n, >= 2.
        gamma: ratio of neighbouring shares [1], in (0, 1).
        transfer_growth: ratio of neighbouring transfer periods [1], >= 1.
        lr_growth: ratio of neighbouring transfer rates [1], > 0.
        warm_start: the gradient goes onto the coarsest tile first, and onto the next finer one whenever the loss
            of an epoch stops falling; tiles finer than that rest meanwhile.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Li et al., arXiv 2510.02516 (2025); the warm start as their experiments use it.
    """

    n_tiles: Annotated[int, Range(least=2, most=20)]
    gamma: Annotated[float, Range(above=0, below=1)]
    transfer_growth: Annotated[float, Range(least=1)]
    lr_growth: Positive
    warm_start: bool

    @property
    def length(self) -> int:
        return self.n_tiles

    def shares(self, *, fading: bool) -> tuple[float, ...]:
        return tuple(self.gamma**k for k in range(self.n_tiles - 1, -1, -1))

    def every(self, j: int, now: Moment) -> float:
        return self.transfer_every * self.transfer_growth**j

    def rate_out_of(self, j: int) -> float:
        return self.transfer_lr * self.lr_growth**j

    @property
    def first_gradient(self) -> int:
        return self.n_tiles - 1 if self.warm_start else 0

    def next_gradient(self, gradient: int, losses: list[float]) -> int:
        """One tile finer when the loss stops falling, down to the finest."""
        rises = sum(later > earlier for earlier, later in pairwise(losses[-PATIENCE - 1 :]))
        switches = self.n_tiles - 1 - gradient
        return max(gradient - (rises >= (1 if switches < IMPATIENT else 2)), 0)
