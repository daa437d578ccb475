"""E-RIDER: residual learning with a tracked symmetry point. A reconstruction, see below."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.algorithms.chopper import Chopped
from crossweep.algorithms.pulsed_transfer import PulsedTransfer, PulsedTransferWeight
from crossweep.algorithms.schedule import Window
from crossweep.schema import PositiveShare
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.windows import PulsedWrite

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

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "ERIDERWeight":
        return ERIDERWeight(shape, self, factory)


class ERIDERWeight(PulsedTransferWeight):
    """A, Q, C and the choppers of one weight."""

    rule: ERIDER
    tracked: Tensor

    def __init__(self, shape: tuple[int, ...], rule: ERIDER, factory: TileFactory) -> None:
        super().__init__(shape, rule, factory)
        self.register_buffer("tracked", torch.zeros_like(self.fast.weight))

    @property
    def digital_values(self) -> int:
        return 1

    def residual(self) -> Tensor:
        return self.fast.weight - self.tracked

    def set_weight(self, weight: Tensor) -> None:
        super().set_weight(weight)
        self.tracked = torch.zeros_like(self.tracked)  # A is erased too; the visible weight is C

    @property
    def held(self) -> Tensor:
        return self.tracked

    def what_reads_do(self, lr: float) -> PulsedWrite | None:
        return self.pulsed_write(self.transfer_rate(lr), excess=True)

    def unit(self, rate: Tensor, sample: Tensor, lr: float) -> float:
        return self.rule.reference_rate

    def damped(self, scale: Tensor, passes: Tensor) -> Tensor:
        return torch.maximum(scale, 1 / (passes + 1 + self.fast.device.states / COARSE))

    def operations_per_value(self, lr: float) -> int:
        # two products, a sum, a difference; values become pulse chances
        return 4 + (self.transfer_rate(lr) > 0)

    def transfer(
        self, value: Tensor, window: Window, columns: Tensor | slice, rate: Tensor, lr: float
    ) -> None:
        eta = self.damped(value.new_tensor(self.rule.reference_rate), window.passes.to(value.device))
        tracked = (1 - eta) * self.tracked[..., columns] + eta * value
        self.tracked[..., columns] = tracked
        self.write_slow(self.signs(columns) * (value - tracked), columns, self.transfer_rate(lr))
        self.tally.digital_operations += 4 * value.numel()  # two products, a sum, a difference
