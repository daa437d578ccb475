"""The measured change per pulse at each state, as it is: for devices that no formula fits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossweep.devices.table_file import Changes, table
from crossweep.errors import ConfigError
from crossweep.fitting.published import Moments
from crossweep.fitting.readings import Readings
from crossweep.fitting.scale import Scale

Array = NDArray[np.float64]
_PER_NODE = 12  # changes of one direction that a node of its curve needs
_NODES = (3, 17)
_OUTSIDE = 0.005  # share of readings at either end that count as noise beyond the range


@dataclass(frozen=True)
class Tabulated:
    """Devices as tables.

    Args:
        devices: what was measured, a device each.
        reading: noise of a reading [w]; zero where it is part of the published distribution.
    """

    devices: tuple[Changes, ...]
    reading: float

    def keys(self) -> dict[str, object]:
        """Of the configuration."""
        found: dict[str, object] = dict(table(self.devices))
        step = found["dw_min"]
        assert isinstance(step, float)
        return found | {"write_noise_std": self.reading / step}

    @property
    def symmetry_points(self) -> Array:
        """State at which each device's mean steps balance [w]; NaN if they never do."""
        return np.array([_balance(one) for one in self.devices])


def of_trains(readings: Sequence[Readings]) -> Tabulated:
    """Tables from pulse trains.

    Raises:
        ConfigError: too few readings.
    """
    found = [_of_device(r) for r in readings]
    return Tabulated(tuple(f[0] for f in found), float(np.mean([f[1] for f in found])))


def of_published(up: Moments, down: Moments | None, scale: Scale) -> Tabulated:
    """A table that was published, on the conductances of its up pulses."""

    def onto(values: Array, g: Array) -> Array:
        return np.interp(up.conductance, g, values) / scale.half

    states = (up.conductance - scale.centre) / scale.half
    falls = None if down is None else onto(-down.mean, down.conductance)
    noise = None if down is None else onto(down.std, down.conductance)
    return Tabulated((Changes(states, up.mean / scale.half, falls, up.std / scale.half, noise),), 0.0)


def _of_device(readings: Readings) -> tuple[Changes, float]:
    """Its table and the noise of a reading [w]."""
    w = readings.w
    low, high = np.nanquantile(w, (_OUTSIDE, 1 - _OUTSIDE))
    count = readings.pulses.astype(np.float64)
    change, middle = np.diff(w, prepend=np.nan), w - np.diff(w, prepend=np.nan) / 2
    use = np.isfinite(change) & (count != 0) & ~readings.starts
    ways = (1.0,) if readings.one_way else (1.0, -1.0)
    fewest = min(int((use & (np.sign(count) == way)).sum()) for way in ways)
    nodes = int(np.clip(fewest // _PER_NODE, *_NODES))
    if fewest < _PER_NODE * _NODES[0]:
        rule = f"a table needs at least {_PER_NODE * _NODES[0]} readings after pulses of each direction"
        raise ConfigError(f"device {readings.device!r}: {rule}, got {fewest}")
    states = np.linspace(low, high, nodes)
    hats = np.stack([np.interp(middle, states, unit) for unit in np.eye(nodes)], 1)
    means, rest = {}, np.full(w.size, np.nan)
    for way in ways:
        rows = use & (np.sign(count) == way)
        means[way] = _hats(hats[rows], np.abs(count[rows]), way * change[rows])
        rest[rows] = change[rows] - count[rows] * (hats[rows] @ means[way])
    # neighbouring changes share a reading, with opposite signs
    shared = rest[1:] * rest[:-1]
    noise = max(float(-np.nanmean(shared)), 0.0) if np.isfinite(shared).any() else 0.0
    stds = {}
    for way in ways:
        rows = use & (np.sign(count) == way)
        spread = _hats(hats[rows], np.abs(count[rows]), rest[rows] ** 2 - 2 * noise)
        stds[way] = np.sqrt(np.maximum(spread, 0.0))
    changes = Changes(states, means[1.0], means.get(-1.0), stds[1.0], stds.get(-1.0))
    return changes, float(np.sqrt(noise))


def _hats(hats: Array, count: Array, target: Array) -> Array:
    """Values at the nodes whose interpolation, times the pulses, follows the target.

    A curve may bend by about its own size over a quarter of the range; what bends more has to be worth the scatter. Nodes
    that nothing was measured at lie on the line through their neighbours.
    """
    nodes = hats.shape[1]
    system, bend = hats * count[:, None], np.diff(np.eye(nodes), 2, axis=0)

    def fitted(weight: float) -> Array:
        rows = np.concatenate([system, weight * bend])
        found: Array = np.linalg.lstsq(rows, np.concatenate([target, np.zeros(len(bend))]), rcond=None)[0]
        return found

    loose = fitted(1e-6 * float(np.sqrt(np.mean(count**2))))
    scatter = float(np.sqrt(np.mean((target - system @ loose) ** 2)))
    size = abs(float(target.sum() / count.sum())) * (4 / nodes) ** 2
    return fitted(scatter / max(size, 1e-9)) if nodes > 2 else loose


def _balance(one: Changes) -> float:
    if one.down is None:
        return float("nan")
    states = np.asarray(one.states, np.float64)
    grid = np.linspace(states[0], states[-1], 2001)
    up, down = (
        np.interp(grid, states, np.maximum(np.asarray(y, np.float64), 0.0)) for y in (one.up, one.down)
    )
    falls = np.flatnonzero((up[:-1] > down[:-1]) & (up[1:] <= down[1:]))
    return float(grid[falls[0]]) if falls.size else float("nan")
