"""Transfer by pulse trains of a strength in proportion to what is written: the body of TTv1, RLv2, MRL and E-RIDER."""

from dataclasses import dataclass, field

from torch import Tensor

from crossweep.algorithms.hidden_buffer import slice_counts
from crossweep.algorithms.transfer import Transfer, TransferWeight
from crossweep.schema import NotNegative
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.pulse_train import UpdateParameters
from crossweep.tiles.windows import PulsedWrite


@dataclass(frozen=True, kw_only=True)
class PulsedTransfer(Transfer):
    """Parameters of the pulsed update of C.

    Args:
        few_states: below so many states of C the rate of the transfer is multiplied by ``(states /
            few_states)^1.5``, >= 0; 0: never. What a read ``v`` writes has a variance of ``transfer_lr |v| dw_min``,
            and ``|v|`` of A at rest goes with ``sqrt(dw_min)``: the noise that C collects stays that of ``few_states``.
        transfer_update: pulse trains of all transfers.

    Raises:
        ConfigError: a parameter breaks its rule.
    """

    few_states: NotNegative = 0.0
    transfer_update: UpdateParameters = field(default_factory=UpdateParameters)


class PulsedTransferWeight(TransferWeight):
    """A and C of one weight, and how the one is written to the other."""

    rule: PulsedTransfer

    def transfer_rate(self, lr: float) -> float:
        return super().transfer_rate(lr) * self.caution

    @property
    def caution(self) -> float:
        """Share of the transfer rate that C's states allow [1]."""
        few = self.rule.few_states
        return min(1.0, self.written_tile.device.states / few) ** 1.5 if few else 1.0

    def pulsed_write(self, rate: float, *, least: float = -1.0, excess: bool = False) -> PulsedWrite | None:
        """A transfer by pulse trains as the compiled call takes it; None where it cannot."""
        update = self.rule.transfer_update
        if update.pulse_type != "stochastic" or update.res:
            return None
        return PulsedWrite(
            strength=rate, granularity=self.written_tile.device.granularity, update=update,
            as_input=not self.rule.transfer_columns, least=least, excess=excess,
        )  # fmt: skip

    def write_slow(self, value: Tensor, columns: Tensor | slice, rate: float) -> None:
        """One pulsed update ``C[:, columns] += rate value`` for each column, ``value [..., O, r]``."""
        self.write(self.slow, value, columns, rate)

    def write(self, tile: AnalogTile, value: Tensor, columns: Tensor | slice, rate: float) -> None:
        """One pulsed update of ``tile`` for each column; nothing happens at rate 0."""
        if rate == 0:
            return
        counts = slice_counts(
            value,
            rate,
            tile.device.granularity,
            self.rule.transfer_update,
            self.transfers,
            as_input=not self.rule.transfer_columns,
            compiled=self.engine.compiled(value),
        )
        tile.pulse(counts, columns)
        self.tally.digital_operations += value.numel()  # values become pulse chances
        self.tally.transfers += int((counts != 0).any(-2).sum())
