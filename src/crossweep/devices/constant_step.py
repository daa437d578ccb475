"""Constant step: the same step everywhere between hard bounds."""

from dataclasses import dataclass

import torch

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Affine


@dataclass(frozen=True, kw_only=True)
class ConstantStep(AbstractDevice):
    """Mean step ``s+`` up and ``s-`` down at every state. No symmetry point: unequal steps drift to a bound.

    Source: Gokmen & Vlasov, Front. Neurosci. 10:333 (2016); aihwkit ``ConstantStepDevice``.
    """

    def response(self, cells: Cells) -> Affine:
        none = torch.zeros_like(cells.step_up)
        return Affine(
            up=cells.step_up, down=cells.step_down, slope_up=none, slope_down=none, noise=self.dw_min_std
        )

    def symmetry_point(self, cells: Cells) -> None:
        return None
