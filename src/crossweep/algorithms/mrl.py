"""Multi-tile residual learning: each further tile corrects what the coarser ones cannot represent."""

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Annotated, Any

from torch import Tensor

from crossweep.algorithms.pulsed_transfer import PulsedTransfer
from crossweep.algorithms.ttv1 import TTv1, TTv1Weight
from crossweep.schema import Positive, Range
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.pulse_train import PulsePlan

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

    n_tiles: Annotated[int, Range(least=2, most=20)] = 3
    gamma: Annotated[float, Range(above=0, below=1)] = 0.5
    transfer_growth: Annotated[float, Range(least=1)] = 5.0
    lr_growth: Positive = 1.2
    warm_start: bool = False

    def chain(self) -> TTv1:
        """The same as TTv1 with its vectors written out."""
        shared = {f.name: getattr(self, f.name) for f in fields(PulsedTransfer)}
        transfers = range(self.n_tiles - 1)
        return TTv1(
            **shared,
            n_tiles=self.n_tiles,
            transfer_every_vec=tuple(self.transfer_every * self.transfer_growth**j for j in transfers),
            transfer_lr_vec=tuple(self.transfer_lr * self.lr_growth**j for j in transfers),
        )

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "MRLWeight":
        return MRLWeight(shape, self.chain(), factory, warm_start=self.warm_start)


class MRLWeight(TTv1Weight):
    """The chain of one weight, and which of its tiles takes the gradient.

    Attributes:
        target: its place in the chain; 0 is the finest tile, where a warm start ends.
        losses: mean training loss of every epoch of the warm start since the last switch.
    """

    def __init__(self, shape: tuple[int, ...], rule: TTv1, factory: TileFactory, *, warm_start: bool) -> None:
        super().__init__(shape, rule, factory)
        self.target = rule.n_tiles - 1 if warm_start else 0
        self.losses: list[float] = []

    @property
    def gradient_tile(self) -> AnalogTile:
        return self.chain[self.target]

    def end_epoch(self, loss: float) -> None:
        if self.target == 0:
            return
        self.losses.append(loss)
        recent = self.losses[-PATIENCE - 1 :]
        rises = sum(later > earlier for earlier, later in pairwise(recent))
        switches = self.rule.n_tiles - 1 - self.target
        if rises >= (1 if switches < IMPATIENT else 2):
            self.target -= 1
            self.losses = []

    def cuts(self, batch: int) -> list[int]:
        if self.target == 0:
            return super().cuts(batch)
        return [event for clock in self.later for event in clock.events(batch)]

    def run_at_once(self, plan: PulsePlan, rate: Tensor, lr: float) -> bool:
        if self.target == 0:
            return super().run_at_once(plan, rate, lr)
        self.gradient_tile.update(plan, self.rule.update)  # and the tiles before it have nothing to hand on
        return True

    def after_segment(self, samples: int, lr: float, *, cut: bool) -> None:
        for j, clock in enumerate(self.later, start=1):
            if self.target > 0 and j >= self.target:
                for _, column in clock.reads(samples):
                    self.hand_on(j, [column], lr)
        super().after_segment(samples, lr, cut=cut)

    def counters(self) -> dict[str, Any]:
        return super().counters() | {"target": self.target, "losses": list(self.losses)}

    def load_counters(self, counters: dict[str, Any]) -> None:
        super().load_counters(counters)
        self.target, self.losses = counters["target"], list(counters["losses"])
