"""Constant step: the same step everywhere between hard bounds."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells


@dataclass(frozen=True, kw_only=True)
class ConstantStep(AbstractDevice):
    """Mean step ``s+`` up and ``s-`` down at every state. No symmetry point: unequal steps drift to a bound.

    Source: Gokmen & Vlasov, Front. Neurosci. 10:333 (2016); aihwkit ``ConstantStepDevice``.
    """

    def step_up(self, v: Tensor, cells: Cells) -> Tensor:
        return cells.step_up.expand(torch.broadcast_shapes(v.shape, cells.step_up.shape))

    def step_down(self, v: Tensor, cells: Cells) -> Tensor:
        return cells.step_down.expand(torch.broadcast_shapes(v.shape, cells.step_down.shape))

    def slopes(self, cells: Cells) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(cells.step_up), torch.zeros_like(cells.step_down)

    def symmetry_point(self, cells: Cells) -> None:
        return None
