"""Drawn devices as kernels take them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.common import differ, of_each
from crossweep.devices.base import AbstractDevice
from crossweep.devices.response import Affine, Exponential, Power, Response, Table
from crossweep.engine.base import Crossbar
from crossweep.engine.cuda.launch import Numbers, flat, numbers


@dataclass(frozen=True)
class Devices:
    """The devices of all crossbars of a tile.

    Args:
        kind: of their response, see ``kernels.respond``.
        matrices: six numbers of each device [crossbars, d, x].
        shape: numbers that they share, see ``kernels.respond``.
        curves: of a table [instances that differ in them, 4, nodes]; one number otherwise.
        nodes: of all its sets together.
    """

    kind: int
    matrices: tuple[Tensor, ...]
    shape: Numbers
    curves: Tensor
    nodes: int


def devices(bar: Crossbar, like: Tensor) -> Devices:
    """The devices of ``bar`` for states ``like [..., d, x]``; they do not change."""
    if () not in bar.kept:
        bar.kept[()] = _made(bar, like)  # type: ignore[assignment]
    return bar.kept[()]  # type: ignore[return-value]


def _made(bar: Crossbar, like: Tensor) -> Devices:
    lead, many = tuple(like.shape[:-2]), differ(bar.device)
    bars = [bar.instance(i) for i in range(many)] or [bar]
    kinds, matrices, curves = zip(*(_described(one.response) for one in bars), strict=True)
    joined = torch.stack if many else lambda alone: alone[0]
    own = (joined(column) for column in zip(*matrices, strict=True))
    tables = curves if kinds[0] == 2 else curves[:1]
    shapes = [_shape(one.response, one.device, min(i, len(tables) - 1)) for i, one in enumerate(bars)]
    every = tuple(flat(t.expand_as(like), lead, 2) for t in (*own, bar.cells.w_max, bar.cells.w_min))
    shape = numbers(shapes, every[0].shape[0], like)
    return Devices(kinds[0], every, shape, torch.stack(tables), max(curves[0].shape[-1], 2))


def _shape(response: Response, device: AbstractDevice, table: int) -> tuple[float, ...]:
    relative, shape = 1.0, (0.0,) * 7
    if isinstance(response, Affine):
        relative = float(not response.additive)
    if isinstance(response, Exponential):
        shape = (
            *response.curve_up, *response.curve_down, response.offset, response.noise_floor, response.noise_slope
        )  # fmt: skip
    return response.noise, relative, device.write_noise, *shape, table


def _described(response: Response) -> tuple[int, tuple[Tensor, ...], Tensor]:
    if isinstance(response, Affine):
        none = torch.zeros(1, 1, device=response.up.device)
        return 0, (response.up, response.down, response.slope_up, response.slope_down), none
    if isinstance(response, Exponential):
        none = torch.zeros(1, 1, device=response.unit_up.device)
        return 1, (response.unit_up, response.unit_down, response.scale, response.scale), none
    if isinstance(response, Power):
        none = torch.zeros(1, 1, device=response.unit_up.device)
        return 3, (response.unit_up, response.unit_down, response.power_up, response.power_down), none
    assert isinstance(response, Table)
    nodes = response.curves.shape[-1]
    scale = (nodes - 1) / response.width
    origin = -response.low * scale
    if response.which is not None:
        origin = origin + nodes * response.which
    curves = response.curves.reshape(4, -1).float().contiguous()
    return 2, (response.gain_up, response.gain_down, scale, origin), curves


def relative_steps(bar: Crossbar) -> list[float]:
    """How far a pulse relaxes a typical device of each instance, or of all [1]."""
    return of_each(max(differ(bar.device), 1), _relative_step, bar.device)


def _relative_step(device: AbstractDevice) -> float:
    return device.relative_step
