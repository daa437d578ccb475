"""Soft bounds: the step falls linearly to zero at the device's own bound."""

from dataclasses import dataclass, replace

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Affine
from crossweep.rng import Stream
from crossweep.schema import NotNegative


@dataclass(frozen=True, kw_only=True)
class SoftBounds(AbstractDevice):
    """Mean step ``s+ (1 - v/b)`` up and ``s- (1 - v/a)`` down, with the device's own bounds ``a < 0 < b``.

    n up pulses without noise: ``v_n = b - (b - v_0)(1 - s+/b)^n``. Symmetry point ``v* = (s+ - s-) / (s+/b -
        s-/a)``. Cycle-to-cycle noise is additive (``s dw_min_std xi``, it does not vanish at the bound)
        unless ``mult_noise``.

    Args:
        mult_noise: the noise of a pulse is relative to its actual step, which fades towards the bound.
        slope_up_dtod: device-to-device spread of the up slope beyond that of step and bound [relative], >= 0.
        slope_down_dtod: the same of the down slope [relative], >= 0.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024), eqs. 4-8; aihwkit ``SoftBoundsReferenceDevice``, with
    ``mult_noise`` also ``SoftBoundsDevice``. The reference is subtracted by ``SymmetryPoint``.
    """

    mult_noise: bool
    slope_up_dtod: NotNegative
    slope_down_dtod: NotNegative

    def response(self, cells: Cells) -> Affine:
        return Affine(
            up=cells.step_up, down=cells.step_down,
            slope_up=cells.extra["slope_up"], slope_down=cells.extra["slope_down"],
            noise=self.dw_min_std, additive=not self.mult_noise,
        )  # fmt: skip

    def draw_extra(self, cells: Cells, stream: Stream) -> Cells:
        # a bound drawn at exactly zero would divide by zero; such a device cannot move that way
        slope_up = -cells.step_up / cells.w_max.clamp(min=1e-12)
        slope_down = cells.step_down / (-cells.w_min).clamp(min=1e-12)
        if self.slope_up_dtod:
            # a steeper branch reaches zero earlier: the bound moves with the slope
            xi = stream.fork("slope_up").normal(*slope_up.shape, like=slope_up)
            gain = (1 + self.slope_up_dtod * xi).abs()
            slope_up, cells = slope_up * gain, replace(cells, w_max=cells.w_max / gain)
        if self.slope_down_dtod:
            xi = stream.fork("slope_down").normal(*slope_up.shape, like=slope_up)
            gain = (1 + self.slope_down_dtod * xi).abs()
            slope_down, cells = slope_down * gain, replace(cells, w_min=cells.w_min / gain)
        return replace(cells, extra={"slope_up": slope_up, "slope_down": slope_down})
