"""Tiki-Taka version 2."""

from dataclasses import dataclass

from crossweep.algorithms.moment import Moment
from crossweep.algorithms.tiki_taka import BufferedTransfer
from crossweep.errors import FieldError
from crossweep.schema import Count, NotNegative


@dataclass(frozen=True, kw_only=True)
class TTv2(BufferedTransfer):
    """The gradient goes onto a fast tile A; single columns of A are read and summed in a digital buffer H;
    where H passes its threshold the slow tile C, which holds the weight, gets a pulse: ``H += v lambda``.

    The buffer is a low-pass filter: it forgives few states and noisy pulses, but integrates an offset of A's
    symmetry point as if it were gradient.

    Args:
        thres_scale: if > 0, the threshold of H is this many steps of C, and ``buffer_granularity``,
            ``auto_granularity`` and ``correct_gradient_magnitudes`` have no say: the convention of
            ``BufferedTransferCompound``. 0 measures H in steps of A, the convention of
            ``ChoppedTransferCompound``.
        n_reads_per_transfer: columns read at every transfer, >= 1.
        gamma_unfading: least ``gamma`` on devices without a symmetry point [1], >= 0. Their steps do not fade, so
            nothing but what A shows of itself can stop the swing of A and H, two sums one after the other.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Gokmen, Front. Artif. Intell. 4:699148 (2021); aihwkit ``BufferedTransferCompound`` (1.2.0
        defaults: thres_scale 1, momentum 0.1, scale_fast_lr and units_in_mbatch true, no auto_scale) and its
        ``build_config("ttv2")`` (thres_scale 0, momentum 0, pulse trains of 5).
    """

    thres_scale: NotNegative
    n_reads_per_transfer: Count
    gamma_unfading: NotNegative

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.thres_scale and self.normalise != "none":
            raise FieldError(
                "thres_scale", f"must be 0 with normalise={self.normalise}, got {self.thres_scale}"
            )

    @property
    def at_once(self) -> int:
        return self.n_reads_per_transfer

    def shares(self, *, fading: bool) -> tuple[float, ...]:
        return (self.gamma if fading else max(self.gamma, self.gamma_unfading)), 1.0

    def buffer_scale(self, j: int, now: Moment) -> float:
        if self.thres_scale > 0:
            return self.transfer_rate(j, now) / (self.thres_scale * now.devices[1].granularity)
        return super().buffer_scale(j, now)
