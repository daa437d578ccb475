"""Piecewise step: any measured step curve, linear between equally spaced nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import General
from crossweep.errors import FieldError
from crossweep.schema import Items, NotNegative


@dataclass(frozen=True, kw_only=True)
class PiecewiseStep(AbstractDevice):
    """Mean step ``s+ I+(v)`` up and ``s- I-(v)`` down; ``I`` interpolates nodes from bound to bound.

    The K nodes are equally spaced over each device's own range; one node is a constant factor. Symmetry point
    by bisection: one attracting balance point if there are several.

    Args:
        piecewise_up: factors of the up step at the nodes, lower bound first [1], >= 0.
        piecewise_down: factors of the down step at the nodes, lower bound first [1], >= 0; equally many.

    Raises:
        ConfigError: no node, unequal numbers of nodes, a negative factor, or a middle up factor of zero.

    Source: aihwkit ``PiecewiseStepDevice``.
    """

    piecewise_up: Annotated[Sequence[NotNegative], Items(least=1)] = (1.0,)
    piecewise_down: Annotated[Sequence[NotNegative], Items(least=1)] = (1.0,)

    def __post_init__(self) -> None:
        up, down = tuple(map(float, self.piecewise_up)), tuple(map(float, self.piecewise_down))
        object.__setattr__(self, "piecewise_up", up)
        object.__setattr__(self, "piecewise_down", down)
        if len(up) != len(down):
            raise FieldError(
                "piecewise_up, .piecewise_down", f"equally many nodes, got {len(up)}, {len(down)}"
            )
        if not up[len(up) // 2] > 0:
            raise FieldError("piecewise_up", f"the middle factor sets the granularity, must be > 0, got {up}")
        super().__post_init__()

    def response(self, cells: Cells) -> General:
        return General(
            up=lambda v: cells.step_up * _interpolate(self.piecewise_up, v, cells),
            down=lambda v: cells.step_down * _interpolate(self.piecewise_down, v, cells),
            noise=self.dw_min_std,
        )

    @property
    def granularity(self) -> float:
        """Mean up step at the middle node [w]."""
        return self.dw_min * self.piecewise_up[len(self.piecewise_up) // 2]

    def symmetry_point(self, cells: Cells) -> Tensor | None:
        return None if len(self.piecewise_up) == 1 else super().symmetry_point(cells)


def _interpolate(nodes: Sequence[float], v: Tensor, cells: Cells) -> Tensor:
    """Linear interpolation of ``nodes`` over each device's range, constant outside; [..., d, x]."""
    values = v.new_tensor(nodes)
    if len(nodes) == 1:
        return values.expand_as(v)
    last = len(nodes) - 1
    place = ((v - cells.w_min) / (cells.w_max - cells.w_min).clamp(min=1e-12) * last).clamp(0.0, float(last))
    left = place.floor().clamp(max=last - 1)
    share, k = place - left, left.long()
    return (1 - share) * values[k] + share * values[k + 1]
