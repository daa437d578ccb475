"""One device's normalised readings, and a first guess of its steps and noises."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossweep.errors import ConfigError

Array = NDArray[np.float64]
FLOOR = 1e-4  # least noise of a reading considered [w]: 14 bits over the range -1 to 1


@dataclass(frozen=True)
class Readings:
    """One device, normalised.

    Args:
        device: its name.
        pulses: signed pulses before each reading [t].
        w: readings [t]; NaN where missing.
        fresh: the state was set anew before this reading [t]; the first alone if None.
    """

    device: str
    pulses: NDArray[np.int64]
    w: Array
    fresh: NDArray[np.bool_] | None = None

    @cached_property
    def starts(self) -> NDArray[np.bool_]:
        """Readings that begin a series [t]."""
        return np.zeros(self.w.size, bool) if self.fresh is None else self.fresh

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest reading."""
        return float(np.nanmin(self.w)), float(np.nanmax(self.w))

    @cached_property
    def one_way(self) -> bool:
        """Whether there are no down pulses."""
        return not (self.pulses[~self.starts] < 0).any()

    @cached_property
    def floor(self) -> float:
        """Least noise of a reading [w]: of rounding, if the readings are digitised."""
        levels = np.unique(np.round(self.w[np.isfinite(self.w)], 12))
        gaps = np.diff(levels)
        coarse = gaps.size > 3 and bool(np.isclose(gaps / gaps.min() % 1, [[0], [1]], atol=0.02).any(0).all())
        repeated = levels.size < 0.8 * np.isfinite(self.w).sum()
        return max(FLOOR, float(gaps.min()) / np.sqrt(12)) if coarse and repeated else FLOOR

    @cached_property
    def guess(self) -> dict[str, float]:
        """A straight line through the steps of each direction, and how readings scatter around it.

        Raises:
            ConfigError: too few pulses move the device to say anything.
        """
        found: dict[str, float] = {}
        scatter = []
        for way, name in ((1, "up"), (-1, "down")):
            if way < 0 and self.one_way:
                found |= {"step_down": found["step_up"], "fade_down": found["fade_up"]}
                continue
            size, fade, rest = self._line(way, name)
            found |= {f"step_{name}": size, f"fade_{name}": fade}
            scatter.append(rest)
        typical = max(float(np.mean(scatter)), 5 * self.floor)
        mean_step = (found["step_up"] + found["step_down"]) / 2
        return found | {"cycle_noise": typical / mean_step, "reading": typical}

    def _line(self, way: int, name: str) -> tuple[float, float, float]:
        """Step at zero, share lost towards the bound at 1, and the scatter of single steps."""
        change, before, width = np.diff(self.w), self.w[:-1], self.ends[1] - self.ends[0]
        # where the device runs into its bound the steps say nothing about the rest
        room = (self.ends[1] - before if way > 0 else before - self.ends[0]) > 0.1 * width
        use = (self.pulses[1:] * way > 0) & np.isfinite(change) & room & ~self.starts[1:]
        count = np.abs(self.pulses[1:][use])
        per_pulse = way * change[use] / count
        if use.sum() < 3:
            raise ConfigError(f"device {self.device!r}: fewer than 3 {name} pulses start away from its bound")
        if np.ptp(before[use]) < 1e-6 * width:
            raise ConfigError(
                f"device {self.device!r}: all {name} pulses away from its bound start at one state"
            )
        slope, offset = np.polyfit(before[use], per_pulse, 1)
        rest = float(np.std((per_pulse - offset - slope * before[use]) * count))
        size = max(float(offset), 0.2 * abs(float(per_pulse.mean())), 1e-5)
        return size, -way * float(slope) / size, rest
