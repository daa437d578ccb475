"""Residual learning version 2: residual learning through a leaky digital buffer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.algorithms.pulsed_transfer import PulsedTransfer, PulsedTransferWeight
from crossweep.algorithms.schedule import Window
from crossweep.schema import NotNegative, PositiveShare
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.windows import PulsedWrite


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

    buffer_rate: PositiveShare = 0.1
    thres_scale: NotNegative = 1.0

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "RLv2Weight":
        return RLv2Weight(shape, self, factory)


class RLv2Weight(PulsedTransferWeight):
    """A, H and C of one weight."""

    rule: RLv2
    hidden: Tensor

    def __init__(self, shape: tuple[int, ...], rule: RLv2, factory: TileFactory) -> None:
        super().__init__(shape, rule, factory)
        self.register_buffer("hidden", torch.zeros_like(self.fast.weight))

    @property
    def digital_values(self) -> int:
        return 1

    @property
    def held(self) -> Tensor:
        return self.hidden

    def what_reads_do(self, lr: float) -> PulsedWrite | None:
        least = self.rule.thres_scale * self.slow.device.granularity
        return self.pulsed_write(self.transfer_rate(lr), least=least)

    def unit(self, rate: Tensor, sample: Tensor, lr: float) -> float:
        return self.rule.buffer_rate

    def operations_per_value(self, lr: float) -> int:
        return 3 + (self.transfer_rate(lr) > 0)  # two products and a sum; values become pulse chances

    def transfer(
        self, value: Tensor, window: Window, columns: Tensor | slice, rate: Tensor, lr: float
    ) -> None:
        rule, step = self.rule, self.slow.device.granularity
        hidden = (1 - rule.buffer_rate) * self.hidden[..., columns] + rule.buffer_rate * value
        self.hidden[..., columns] = hidden
        wanted = torch.where(hidden.abs() > rule.thres_scale * step, hidden, 0.0)
        self.write_slow(wanted, columns, self.transfer_rate(lr))
        self.tally.digital_operations += 3 * value.numel()  # two products and a sum
