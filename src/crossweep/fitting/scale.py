"""How conductances become weights, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crossweep.errors import ConfigError
from crossweep.fitting.readings import Readings
from crossweep.fitting.trains import Trains


@dataclass(frozen=True)
class Scale:
    """How conductances become weights: ``w = (g - centre) / half``.

    Args:
        centre: conductance of weight 0 [S].
        half: conductance per unit of weight [S].
    """

    centre: float
    half: float

    @classmethod
    def of(cls, trains: Sequence[Trains], ends: tuple[float, float] | None = None) -> "Scale":
        """From stated conductances of -1 and +1, else from the devices' mean smallest and largest reading.

        Devices that were pulsed upwards alone are one of a pair, whose weight goes from 0 to 1.
        """
        low = float(np.mean([np.nanmin(t.conductance) for t in trains]))
        high = float(np.mean([np.nanmax(t.conductance) for t in trains]))
        return cls.over([low, high], ends, pair=all(t.one_way for t in trains))

    @classmethod
    def over(cls, range_: ArrayLike, ends: tuple[float, float] | None, *, pair: bool) -> "Scale":
        """From stated conductances, else from the first and last of a range; of a pair the lower one is weight 0."""
        low, high = ends if ends is not None else (float(np.min(range_)), float(np.max(range_)))
        if not low < high:
            raise ConfigError(
                f"--range: the conductance of -1 must be below that of +1, got {low:g} and {high:g} S"
            )
        if pair:
            return cls(low, high - low)
        return cls((low + high) / 2, (high - low) / 2)

    def readings(self, trains: Trains) -> Readings:
        """The trains of one device, normalised."""
        return Readings(
            trains.device, trains.pulses, (trains.conductance - self.centre) / self.half, trains.fresh
        )
