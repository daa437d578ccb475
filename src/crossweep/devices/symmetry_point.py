"""Where the symmetry point of a tile sits: the reference ``r`` that is subtracted from every device."""

from dataclasses import dataclass

from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.errors import ConfigError
from crossweep.rng import Stream
from crossweep.schema import Checked, NotNegative


@dataclass(frozen=True, kw_only=True)
class SymmetryPoint(Checked):
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

    subtract: bool
    skew: float
    variability: NotNegative

    def reference(self, device: AbstractDevice, cells: Cells, stream: Stream) -> Tensor:
        """The reference ``r [..., d, x]`` [w] of drawn devices."""
        own = device.symmetry_point(cells)
        self.require(device, own)
        shift = self.shift(device, cells.w_max, stream)
        return own - shift if self.subtract and own is not None else -shift

    def require(self, device: AbstractDevice, own: Tensor | None) -> None:
        """Only a device that has a symmetry point ``own`` can have it moved."""
        if own is None and (self.skew or self.variability):
            raise ConfigError(
                f"symmetry_point.skew, .variability: must be 0 for {type(device).__name__}, which has no "
                f"symmetry point, got {self.skew}, {self.variability}"
            )

    def shift(self, device: AbstractDevice, like: Tensor, stream: Stream) -> Tensor:
        """What the visible symmetry point is moved by, of the shape of ``like`` [w]."""
        xi = stream.fork("reference").normal(*like.shape, like=like)
        return device.w_max * (self.skew + self.variability * xi)
