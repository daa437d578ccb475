"""The symmetry point of any device by bisection."""

import torch
from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells

BISECTIONS = 40  # the range shrinks by 2^40: below the resolution of float32 and near that of float64


def balance_point(device: AbstractDevice, cells: Cells) -> Tensor:
    """State ``[..., d, x]`` that alternating pulses settle at: up steps win below it, down steps above [w].

    Where one direction wins over the whole range it is the bound they push to; a device that never moves has
    it at zero. With several balance points one attracting point is found.
    """
    low, high = cells.w_min, cells.w_max
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        rising = device.step_up(middle, cells) > device.step_down(middle, cells)
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    still = (cells.step_up == 0) & (cells.step_down == 0)
    return ((low + high) / 2).masked_fill(still, 0.0)
