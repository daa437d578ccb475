"""Chopped Tiki-Taka version 2."""

from dataclasses import dataclass, replace

from crossweep.algorithms.chopper import Chopped
from crossweep.algorithms.moment import Moment
from crossweep.engine.program import Buffered


@dataclass(frozen=True, kw_only=True)
class CTTv2(Chopped):
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

    no_buffer: bool

    def what(self, j: int, now: Moment) -> Buffered:
        return replace(super().what(j, now), no_buffer=self.no_buffer)
