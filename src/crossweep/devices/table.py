"""A table: the measured change per pulse at each state, as it is, for devices that no formula fits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Table
from crossweep.errors import FieldError
from crossweep.rng import Stream
from crossweep.schema import Items, NotNegative, Positive

Curves = Sequence[Annotated[Sequence[NotNegative], Items(least=2)]]


@dataclass(frozen=True, kw_only=True)
class TableStep(AbstractDevice):
    """Mean step ``s+ I+(v)`` up and ``s- I-(v)`` down, noise ``dw_min_std s J(v)``; I and J are measured curves.

    Each curve is given at equally spaced nodes from the lower to the upper bound and linear in between; all have as many
    nodes. Where several devices were measured there is a row for each, and every device of a crossbar is one of them, drawn
    at random: its curves and its range together. The common spreads (``dw_min_dtod``, ``w_max_dtod``, ...) come on top.
    Symmetry point by bisection.

    Args:
        up: mean change of an up pulse at the nodes, a row for each measured device [dw_min], >= 0.
        down: the same of a down pulse, counted downwards; [] (of a one-sided pair): as up.
        up_std: cycle-to-cycle standard deviation of an up pulse at the nodes [dw_min_std dw_min]; []: as the mean change.
        down_std: the same of a down pulse.
        top: upper bound of each measured device [w_max], > 0; []: 1.
        bottom: lower bound of each measured device [w_min], > 0; []: 1.

    Raises:
        ConfigError: rows of different lengths or numbers, a negative change, or none in mid-range.

    Source: tables of measured conductance changes as in Burr et al., IEEE Trans. Electron Devices 62:3498 (2015), and
    Agarwal et al., IJCNN (2016).
    Differs: a change is a normal number of the measured mean and spread, not drawn from the measured distribution.
    """

    up: Curves
    down: Curves
    up_std: Curves
    down_std: Curves
    top: Sequence[Positive]
    bottom: Sequence[Positive]

    def __post_init__(self) -> None:
        if not self.up:
            raise FieldError("up", f"must have a row for each measured device, got {self.up}")
        if not self.down and self.update_policy != "one_sided":
            raise FieldError("down", f"must be given unless update_policy=one_sided, got {self.down}")
        many, nodes = len(self.up), len(self.up[0])
        for name in ("up", "down", "up_std", "down_std"):
            rows = tuple(tuple(map(float, row)) for row in getattr(self, name))
            object.__setattr__(self, name, rows)
            lengths = [len(row) for row in rows]
            if rows and lengths != [nodes] * many:
                raise FieldError(
                    name, f"must have {many} rows of {nodes} nodes like up, got rows of {lengths}"
                )
        for name in ("top", "bottom"):
            ends = tuple(getattr(self, name))
            object.__setattr__(self, name, ends)
            if ends and len(ends) != many:
                raise FieldError(name, f"must have a number for each of {many} rows of up, got {len(ends)}")
        super().__post_init__()
        if not self.granularity > 0:
            raise FieldError("up, .down", f"must move the device in mid-range, got {self.granularity} there")

    @property
    def granularity(self) -> float:
        """Mean step in the middle of the range, of both directions and all measured devices [w]."""
        middle = [_middle(row) for rows in (self.up, self.down or self.up) for row in rows]
        return self.dw_min * sum(middle) / len(middle)

    def response(self, cells: Cells) -> Table:
        down = self.down or self.up
        curves = self.up, down, self.up_std or self.up, self.down_std or down
        return Table(
            low=cells.w_min, high=cells.w_max, gain_up=cells.step_up, gain_down=cells.step_down,
            which=cells.extra["curve"], curves=cells.w_max.new_tensor(curves), noise=self.dw_min_std,
        )  # fmt: skip

    def draw_extra(self, cells: Cells, stream: Stream) -> Cells:
        many = len(self.up)
        uniform = stream.fork("curve").uniform(*cells.w_max.shape, like=cells.w_max)
        which = (uniform * many).floor().clamp(max=many - 1)

        def of(ends: Sequence[float]) -> Tensor | float:
            return cells.w_max.new_tensor(ends)[which.long()] if ends else 1.0

        bounds = {"w_max": cells.w_max * of(self.top), "w_min": cells.w_min * of(self.bottom)}
        return replace(cells, **bounds, extra={"curve": which})


def _middle(row: Sequence[float]) -> float:
    """A curve in the middle of the range."""
    last = len(row) - 1
    return (row[last // 2] + row[last - last // 2]) / 2
