"""Chopped Tiki-Taka version 2."""

from dataclasses import dataclass

from torch import Tensor

from crossweep.algorithms.buffered_transfer import BufferedTransfer, BufferedTransferWeight
from crossweep.algorithms.chopper import Chopped
from crossweep.algorithms.schedule import Window
from crossweep.tiles.digital import Digest, digest_
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class CTTv2(Chopped, BufferedTransfer):
    """The gradient goes, with chopped signs, onto a fast tile A; single columns of A are read, un-chopped
    and summed in a digital buffer H; where H passes its threshold the slow tile C, which holds the weight,
    gets a pulse.

    ``H += c v lambda``; ``n = trunc(H)`` pulses. Because the chopper flips the sign of the gradient on A but
    not of A's symmetry point, an offset of the symmetry point averages out. ``in_chop_prob = 0`` is TTv2.

    Args:
        no_buffer: forget H before every read.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024), eqs. 10-15; aihwkit ``ChoppedTransferCompound``.
    Differs: nothing in the order of operations of its CPU engine; the visible weight with ``gamma`` uses the
        formula ``gamma (c_d c_x) A + C`` (its CPU index layout is right for equal choppers only).
    """

    no_buffer: bool = False

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "CTTv2Weight":
        return CTTv2Weight(shape, self, factory)


class CTTv2Weight(BufferedTransferWeight):
    """A, C, H and the choppers of one weight."""

    rule: CTTv2

    def fill(self, value: Tensor, scale: Tensor | float, window: Window, columns: Tensor | slice) -> Tensor:
        read = self.signs(columns) * value * scale
        return read if self.rule.no_buffer else self.hidden[..., columns] + read

    def rule_of_reads(self) -> Digest:
        rule = self.rule
        return Digest(
            momentum=rule.momentum,
            forget_buffer=rule.forget_buffer,
            longest=rule.transfer_update.desired_bl,
            no_buffer=rule.no_buffer,
        )

    def digest(self, value: Tensor, scale: Tensor | float, window: Window, columns: Tensor | slice) -> Tensor:
        reads = self.rule_of_reads()
        if reads is None or not self.compiled:
            return super().digest(value, scale, window, columns)
        gain = self.gains(scale, columns)
        return digest_(value, self.hidden, columns, reads, row_sign=self.chop_out, gain=gain)
