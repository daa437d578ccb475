"""The symmetry point that follows from a response: in closed form where it is affine, else by bisection."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossweep.devices.response import Affine, Response, step

if TYPE_CHECKING:  # base.py asks here
    from crossweep.devices.base import Cells

BISECTIONS = 40  # the range shrinks by 2^40: below the resolution of float32 and near that of float64


def balance_point(response: Response, cells: "Cells") -> Tensor:
    """State ``[..., d, x]`` that alternating pulses settle at: up steps win below it, down steps above [w].

    Where one direction wins over the whole range it is the bound they push to; a device that never moves has
    it at zero. With several balance points one attracting point is found. Affine steps that part from each other have
    none, it is given as zero.
    """
    if isinstance(response, Affine):
        attraction = response.slope_down - response.slope_up
        attracts = attraction > 0
        point = (response.up - response.down) / attraction.masked_fill(~attracts, 1.0)
        return point.clamp(cells.w_min, cells.w_max).masked_fill(~attracts, 0.0)
    low, high = cells.w_min, cells.w_max
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        rising = step(response, middle, up=True) > step(response, middle, up=False)
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    still = (cells.step_up == 0) & (cells.step_down == 0)
    return ((low + high) / 2).masked_fill(still, 0.0)
