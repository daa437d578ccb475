"""The keys of a table device from measured changes per pulse. No torch: fits write such files.

The file is that of any measured device, ``device=measured device.file=mine.yaml``: a yaml of numbers whose ``_target_`` is
`TableStep`; ``conf/device/table.yaml`` explains its keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossweep.errors import ConfigError

NODES = 33  # of each curve
TARGET = "crossweep.devices.table.TableStep"


@dataclass(frozen=True)
class Changes:
    """What one pulse changes on one measured device, at states in ascending order; the first and the last are its bounds.

    Args:
        states: where [n], in weight units: below zero to above, or from zero for a device pulsed upwards only.
        up: mean change of an up pulse [n] [w].
        down: mean change of a down pulse, counted downwards [n] [w]; None: pulsed upwards only.
        up_std: its standard deviation over cycles [n] [w].
        down_std: the same of a down pulse [n] [w].
    """

    states: ArrayLike
    up: ArrayLike
    down: ArrayLike | None
    up_std: ArrayLike
    down_std: ArrayLike | None


def table(devices: Sequence[Changes], nodes: int = NODES) -> dict[str, Any]:
    """The keys of a table device, on equally spaced nodes.

    Steps are in units of ``dw_min``, the mean step in mid-range, and their noise in units of ``dw_min_std``, that of a
    pulse there relative to ``dw_min``. A mean change below zero, which is noise of a step that has faded, is taken as none.
    Spreads between devices beyond those that were measured are zero.

    Args:
        devices: what was measured, a device each.
        nodes: of each curve, >= 2.

    Raises:
        ConfigError: no device, states that do not ascend, or devices of which some are pulsed upwards only.
    """
    both = {one.down is not None for one in devices}
    if len(both) != 1:
        raise ConfigError("table: needs devices, either all pulsed in both directions or all upwards only")
    states = [np.asarray(one.states, float) for one in devices]
    if any(at.ndim != 1 or at.size < 2 or not (np.diff(at) > 0).all() for at in states):
        raise ConfigError("table: states of a device must ascend, and be at least two")

    def curves(name: str) -> NDArray[np.float64]:
        own = [np.asarray(getattr(one, name), float) for one in devices]
        grids = [np.linspace(at[0], at[-1], nodes) for at in states]
        return np.array(
            [np.interp(grid, at, y) for grid, at, y in zip(grids, states, own, strict=True)]
        ).clip(min=0)

    ways = ("up", "down") if both == {True} else ("up",)
    means, stds = [curves(way) for way in ways], [curves(f"{way}_std") for way in ways]
    step, noise = _middle(means), _middle(stds)
    if not step > 0:
        raise ConfigError("table: pulses change nothing in mid-range")
    keys: dict[str, Any] = {"_target_": TARGET, "dw_min": _round(step), "dw_min_std": _round(noise / step)}
    keys |= dict.fromkeys(("dw_min_dtod", "up_down", "up_down_dtod", "w_max_dtod", "w_min_dtod"), 0.0)
    for end, share, k in (("w_max", "top", -1), ("w_min", "bottom", 0)):
        bounds = np.array([at[k] for at in states])
        keys[end] = _round(bounds.mean())
        keys[share] = [_round(x) for x in bounds / bounds.mean()] if bounds.any() else [1.0] * len(states)
    for way, mean, std in zip(ways, means, stds, strict=True):
        keys[way] = [[_round(x) for x in row] for row in mean / step]
        if noise > 0:
            keys[f"{way}_std"] = [[_round(x) for x in row] for row in std / noise]
    if ways == ("up",):
        keys |= {"update_policy": "one_sided", "n_devices": 2}
    return keys


def _middle(curves: Sequence[NDArray[np.float64]]) -> float:
    """Mean of all curves in the middle of the range."""
    last = curves[0].shape[-1] - 1
    return float(np.mean([(rows[:, last // 2] + rows[:, last - last // 2]) / 2 for rows in curves]))


def _round(value: float) -> float:
    return float(f"{value:.6g}")
