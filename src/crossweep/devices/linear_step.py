"""Linear step: the step changes linearly with the state, between hard bounds."""

from dataclasses import dataclass, replace

from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Affine
from crossweep.errors import FieldError
from crossweep.rng import Stream
from crossweep.schema import NotNegative, Positive


@dataclass(frozen=True, kw_only=True)
class LinearStep(AbstractDevice):
    """Mean step ``s+ (1 - G+ v / ref+)`` up and ``s- (1 - G- v / ref-)`` down.

    Slopes ``G+- = |gamma_up,down + gamma_up,down_dtod xi|`` are drawn once. The references are the mean
    bounds ``w_max``, ``w_min`` or the device's own, so that the step at the bound is ``1 - G`` of that at
    zero. A reversed branch grows towards its bound: ``ref+ = w_min - reverse_offset``, ``ref- = w_max +
    reverse_offset``. Symmetry point ``v* = (s+ - s-) / (s+ G+ / ref+ - s- G- / ref-)``, at most a bound.

    Args:
        gamma_up: mean slope of the up step [1]; 0 is a constant step, 1 a soft bound.
        gamma_down: mean slope of the down step [1].
        gamma_up_dtod: its device-to-device spread [1], >= 0.
        gamma_down_dtod: its device-to-device spread [1], >= 0.
        allow_increasing: keep slopes drawn negative (steps that grow towards the bound).
        mean_bound_reference: slopes refer to the mean bounds instead of the device's own.
        mult_noise: the noise of a pulse is relative to its actual step; else to the step at zero.
        reverse_up: the up step grows with the state.
        reverse_down: the down step grows as the state falls.
        reverse_offset: distance of a reversed branch's zero from the opposite bound [w], > 0.

    Raises:
        ConfigError: a parameter breaks its rule, or a branch is reversed without ``mult_noise``.

    Source: aihwkit ``LinearStepDevice``; the parametrisation is that of the ECRAM and capacitor fits there.
    Differs: where the two steps do not balance stably inside the range the symmetry point is the bound that
    alternating pulses drift to (zero if the steps part from each other).
    """

    gamma_up: float
    gamma_down: float
    gamma_up_dtod: NotNegative
    gamma_down_dtod: NotNegative
    allow_increasing: bool
    mean_bound_reference: bool
    mult_noise: bool
    reverse_up: bool
    reverse_down: bool
    reverse_offset: Positive

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.reverse_up or self.reverse_down) and not self.mult_noise:
            raise FieldError("mult_noise", "must be true with reverse_up or reverse_down, got false")

    def response(self, cells: Cells) -> Affine:
        return Affine(
            up=cells.step_up, down=cells.step_down,
            slope_up=cells.extra["slope_up"], slope_down=cells.extra["slope_down"],
            noise=self.dw_min_std, additive=not self.mult_noise,
        )  # fmt: skip

    def symmetry_point(self, cells: Cells) -> Tensor | None:
        sloped = self.gamma_up or self.gamma_down or self.gamma_up_dtod or self.gamma_down_dtod
        return super().symmetry_point(cells) if sloped else None

    def draw_extra(self, cells: Cells, stream: Stream) -> Cells:
        def slope(name: str, mean: float, spread: float) -> Tensor:
            drawn = mean + spread * stream.fork(name).normal(*cells.w_max.shape, like=cells.w_max)
            return drawn if self.allow_increasing else drawn.abs()

        top, bottom = cells.w_max, cells.w_min
        if self.mean_bound_reference:
            top, bottom = top.new_full((), self.w_max), bottom.new_full((), self.w_min)
        ref_up = bottom - self.reverse_offset if self.reverse_up else top.clamp(min=1e-12)
        ref_down = top + self.reverse_offset if self.reverse_down else bottom.clamp(max=-1e-12)
        slopes = {
            "slope_up": -slope("gamma_up", self.gamma_up, self.gamma_up_dtod) * cells.step_up / ref_up,
            "slope_down": -slope("gamma_down", self.gamma_down, self.gamma_down_dtod)
            * cells.step_down
            / ref_down,
        }
        return replace(cells, extra=slopes)
