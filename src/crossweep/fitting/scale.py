"""How conductances become weights, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        if ends is None:
            low = float(np.mean([np.nanmin(t.conductance) for t in trains]))
            high = float(np.mean([np.nanmax(t.conductance) for t in trains]))
        else:
            low, high = ends
        if not low < high:
            raise ConfigError(
                f"--range: the conductance of -1 must be below that of +1, got {low:g} and {high:g} S"
            )
        if all(t.one_way for t in trains):
            return cls(low, high - low)
        return cls((low + high) / 2, (high - low) / 2)

    def readings(self, trains: Trains) -> Readings:
        """The trains of one device, normalised."""
        return Readings(
            trains.device, trains.pulses, (trains.conductance - self.centre) / self.half, trains.fresh
        )
