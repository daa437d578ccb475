"""Piecewise step: any measured step curve, linear between equally spaced nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Table
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

    piecewise_up: Annotated[Sequence[NotNegative], Items(least=1)]
    piecewise_down: Annotated[Sequence[NotNegative], Items(least=1)]

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

    def response(self, cells: Cells) -> Table:
        # one node is a constant: two of the same
        up, down = (
            nodes if len(nodes) > 1 else (*nodes, *nodes)
            for nodes in (self.piecewise_up, self.piecewise_down)
        )
        return Table(
            low=cells.w_min, high=cells.w_max, gain_up=cells.step_up, gain_down=cells.step_down,
            curves=cells.w_max.new_tensor([[up], [down], [up], [down]]), noise=self.dw_min_std,
        )  # fmt: skip

    @property
    def granularity(self) -> float:
        """Mean up step at the middle node [w]."""
        return self.dw_min * self.piecewise_up[len(self.piecewise_up) // 2]

    def symmetry_point(self, cells: Cells) -> Tensor | None:
        return None if len(self.piecewise_up) == 1 else super().symmetry_point(cells)
