"""Exponential step: filamentary devices whose step fades exponentially towards the bound."""

from dataclasses import dataclass
from math import exp

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Exponential
from crossweep.schema import NotNegative


@dataclass(frozen=True, kw_only=True)
class ExpStep(AbstractDevice):
    """Mean step ``s+ max(1 - A_up e^(gamma_up z), 0)`` up, ``s- max(1 - A_down e^(-gamma_down z), 0)`` down.

    ``z = 2 a v / (w_max - w_min) + b`` with the device's own bounds. Symmetry point: with equal steps and
    amplitudes of one sign ``z* = ln(A_down / A_up) / (gamma_up + gamma_down)``; in general by bisection. With
    one of ``dw_min_std_add``, ``dw_min_std_slope`` set, one pulse of mean change ``D`` has the standard
    deviation ``dw_min_std (|D| + dw_min_std_add + dw_min_std_slope |v|)``, all in weight units.

    Args:
        A_up: amplitude of the up branch [1]; positive fades, negative grows with ``z``.
        A_down: amplitude of the down branch [1].
        gamma_up: rate of the up branch [1].
        gamma_down: rate of the down branch [1].
        a: scale of the state in ``z`` [1].
        b: offset of ``z`` [1].
        dw_min_std_add: part of a pulse's noise that is always there [w / dw_min_std], >= 0.
        dw_min_std_slope: part that grows with the state [1 / dw_min_std], >= 0.

    Source: aihwkit ``ExpStepDevice``, fitted there to Gong et al., Nat. Commun. 9:2102 (2018).
    """

    A_up: float
    A_down: float
    gamma_up: float
    gamma_down: float
    a: float
    b: float
    dw_min_std_add: NotNegative
    dw_min_std_slope: NotNegative

    def response(self, cells: Cells) -> Exponential:
        # a stuck device has no range, and zero steps to multiply whatever stands here
        scale = 2 * self.a / (cells.w_max - cells.w_min).clamp(min=1e-12)
        return Exponential(
            unit_up=cells.step_up, unit_down=cells.step_down, scale=scale,
            curve_up=(self.A_up, self.gamma_up), curve_down=(self.A_down, -self.gamma_down), offset=self.b,
            noise=self.dw_min_std, noise_floor=self.dw_min_std_add, noise_slope=self.dw_min_std_slope,
        )  # fmt: skip

    @property
    def granularity(self) -> float:
        """Down step at zero of the mean device [w], as the reference simulator scales its pulse trains."""
        shape = max(1 - self.A_down * exp(-self.gamma_down * self.b), 0.0)
        return (1 - max(self.up_down, 0.0)) * self.dw_min * shape or self.dw_min
