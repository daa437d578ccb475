"""Power step: the step follows a power of the distance to the bound."""

from dataclasses import dataclass, replace

from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Power
from crossweep.rng import Stream
from crossweep.schema import Asymmetry, NotNegative, Positive


@dataclass(frozen=True, kw_only=True)
class PowStep(AbstractDevice):
    """Mean step ``s+ ((b - v) / (b - a))^g+`` up, ``s- ((v - a) / (b - a))^g-`` down; own bounds a, b.

    Exponents are drawn like the steps: ``g+ = |pow_gamma (gain + min(pow_up_down, 0) + r)|``, ``g- =
        |pow_gamma (gain - max(pow_up_down, 0) - r)|`` with ``gain = 1 + pow_gamma_dtod xi``, ``r =
        pow_up_down_dtod xi``. In mid-range the step is ``s 0.5^g``, not ``s``. Symmetry point with equal
        exponents:
    ``v* = (b + rho a) / (1 + rho)``, ``rho = (s- / s+)^(1/g)``; in general by bisection.

    Args:
        pow_gamma: mean exponent [1], > 0.
        pow_gamma_dtod: its device-to-device spread [relative], >= 0.
        pow_up_down: asymmetry of the exponents [1] in (-1, 1), one-sided like ``up_down``.
        pow_up_down_dtod: its device-to-device spread [1], >= 0.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: aihwkit ``PowStepDevice``, ``PowStepReferenceDevice`` (the reference is subtracted by
    ``SymmetryPoint``).
    Differs: the symmetry point is solved for instead of iterated, so it has no estimation error.
    """

    pow_gamma: Positive
    pow_gamma_dtod: NotNegative
    pow_up_down: Asymmetry
    pow_up_down_dtod: NotNegative

    def response(self, cells: Cells) -> Power:
        return Power(
            low=cells.w_min, high=cells.w_max, unit_up=cells.step_up, unit_down=cells.step_down,
            power_up=cells.extra["gamma_up"], power_down=cells.extra["gamma_down"], noise=self.dw_min_std,
        )  # fmt: skip

    @property
    def granularity(self) -> float:
        """Mean step in mid-range [w]."""
        return float(self.dw_min * 0.5**self.pow_gamma)

    def draw_extra(self, cells: Cells, stream: Stream) -> Cells:
        def xi(name: str) -> Tensor:
            return stream.fork(name).normal(*cells.w_max.shape, like=cells.w_max)

        gain, split = 1 + self.pow_gamma_dtod * xi("pow_gamma"), self.pow_up_down_dtod * xi("pow_up_down")
        gammas = {
            "gamma_up": ((gain + min(self.pow_up_down, 0.0) + split) * self.pow_gamma).abs(),
            "gamma_down": ((gain - max(self.pow_up_down, 0.0) - split) * self.pow_gamma).abs(),
        }
        return replace(cells, extra=gammas)
