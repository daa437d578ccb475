"""Drawn devices as kernels take them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.devices.response import Affine, Exponential, Response, Table
from crossweep.engine.base import Crossbar
from crossweep.engine.cuda.launch import flat


@dataclass(frozen=True)
class Devices:
    """The devices of all crossbars of a tile.

    Args:
        kind: of their response, see ``kernels.respond``.
        matrices: six numbers of each device [crossbars, d, x].
        shape: numbers that they share, see ``kernels.respond``.
        curves: of a table [4, nodes]; one number otherwise.
        nodes: of all its sets together.
    """

    kind: int
    matrices: tuple[Tensor, ...]
    shape: tuple[float, ...]
    curves: Tensor
    nodes: int


def devices(bar: Crossbar, like: Tensor, *, write: float = 0.0) -> Devices:
    """The devices of ``bar`` for states ``like [..., d, x]`` with write noise ``write`` [w]."""
    lead, response = tuple(like.shape[:-2]), bar.response
    kind, own, curves = _described(response)
    if () not in bar.kept:  # devices do not change
        bar.kept[()] = tuple(
            flat(t.expand_as(like), lead, 2) for t in (*own, bar.cells.w_max, bar.cells.w_min)
        )
    relative, numbers = 1.0, (0.0,) * 7
    if isinstance(response, Affine):
        relative = float(not response.additive)
    if isinstance(response, Exponential):
        numbers = (
            *response.curve_up, *response.curve_down, response.offset, response.noise_floor, response.noise_slope
        )  # fmt: skip
    shape = (float(response.noise), relative, float(write), *map(float, numbers))
    return Devices(kind, bar.kept[()], shape, curves, max(curves.shape[-1], 2))


def _described(response: Response) -> tuple[int, tuple[Tensor, ...], Tensor]:
    if isinstance(response, Affine):
        none = torch.zeros(1, 1, device=response.up.device)
        return 0, (response.up, response.down, response.slope_up, response.slope_down), none
    if isinstance(response, Exponential):
        none = torch.zeros(1, 1, device=response.unit_up.device)
        return 1, (response.unit_up, response.unit_down, response.scale, response.scale), none
    assert isinstance(response, Table)
    nodes = response.curves.shape[-1]
    scale = (nodes - 1) / response.width
    origin = -response.low * scale
    if response.which is not None:
        origin = origin + nodes * response.which
    curves = response.curves.reshape(4, -1).float().contiguous()
    return 2, (response.gain_up, response.gain_down, scale, origin), curves
