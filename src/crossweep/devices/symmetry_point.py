"""Where the symmetry point of a tile sits: the reference ``r`` that is subtracted from every device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.errors import ConfigError
from crossweep.rng import Stream


@dataclass(frozen=True, kw_only=True)
class SymmetryPoint:
    """Visible symmetry point ``w_max (skew + variability xi)``, exact, Gaussian, independent of all else.

    The tile shows ``w = v - r``. With ``subtract`` the reference is ``r = v* - w_max (skew + variability
    xi)``, so the visible point is the bracket whatever devices were drawn; without it the device's own point
    remains, shifted by the bracket.

    Args:
        subtract: a reference device, programmed to the symmetry point (zero-shifting), is subtracted.
        skew: mean of the visible symmetry point [w_max].
        variability: device-to-device standard deviation of it [w_max], >= 0.

    Raises:
        ConfigError: ``variability`` is negative, or (at ``reference``) the model has no symmetry point.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024), eqs. 8-9; aihwkit ``subtract_symmetry_point``,
    ``reference_mean = -skew w_max``, ``reference_std = variability w_max``.
    """

    subtract: bool = True
    skew: float = 0.0
    variability: float = 0.0

    def __post_init__(self) -> None:
        if not self.variability >= 0:
            raise ConfigError(f"symmetry_point.variability: must be >= 0, got {self.variability}")

    def reference(self, device: AbstractDevice, cells: Cells, stream: Stream) -> Tensor:
        """The reference ``r [..., d, x]`` [w] of drawn devices."""
        own = device.symmetry_point(cells)
        if own is None:
            if self.skew or self.variability:
                raise ConfigError(
                    f"symmetry_point.skew, .variability: must be 0 for {type(device).__name__}, which has no "
                    f"symmetry point, got {self.skew}, {self.variability}"
                )
            return torch.zeros_like(cells.w_max)
        xi = stream.fork("reference").normal(*own.shape, like=own)
        shift = device.w_max * (self.skew + self.variability * xi)
        return own - shift if self.subtract else -shift
