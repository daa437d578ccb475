"""A pair of devices that are only ever pulsed upwards: the first raises the weight, the second lowers it."""

from dataclasses import dataclass, fields, replace

import torch

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Response, one_sided

PAIR = -3  # the dimension that holds the two devices: [..., 2, d, x]


@dataclass(frozen=True, kw_only=True)
class OneSided(AbstractDevice):
    """The pair as one device model, so that every engine can pulse it.

    States are signed contributions to the weight: ``v_0 = g_0`` and ``v_1 = -g_1``, so the weight is their
    sum. The second device is mirrored: a down pulse of the weight is an up pulse of ``g_1``. No symmetry
    point.

    Args:
        base: the model of both devices.

    Source: aihwkit ``OneSidedUnitCell``.
    """

    base: AbstractDevice

    @classmethod
    def of(cls, base: AbstractDevice) -> "OneSided":
        """The pair made of ``base``."""
        common = {f.name: getattr(base, f.name) for f in fields(AbstractDevice)}
        return cls(**(common | {"n_states": None}), base=base)

    def response(self, cells: Cells) -> Response:
        return one_sided(self.base.response(unmirrored(cells)), cells.extra["mirror"])

    @property
    def granularity(self) -> float:
        """That of one device [w]."""
        return self.base.granularity

    def symmetry_point(self, cells: Cells) -> None:
        return None


def mirrored(cells: Cells) -> Cells:
    """Drawn devices ``[..., 2, d, x]`` with the second of each pair mirrored at zero."""
    sign = torch.ones_like(cells.w_max)
    sign.select(PAIR, 1).neg_()
    extra = dict(cells.extra) | {"mirror": sign}
    if "reset" in extra:
        extra["reset"] = extra["reset"] * sign
    return replace(
        cells,
        w_max=torch.where(sign > 0, cells.w_max, -cells.w_min),
        w_min=torch.where(sign > 0, cells.w_min, -cells.w_max),
        extra=extra,
    )


def unmirrored(cells: Cells) -> Cells:
    """The devices as their model knows them."""
    up = cells.extra["mirror"] > 0
    return replace(
        cells,
        w_max=torch.where(up, cells.w_max, -cells.w_min),
        w_min=torch.where(up, cells.w_min, -cells.w_max),
    )
