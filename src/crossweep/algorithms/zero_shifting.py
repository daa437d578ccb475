"""Zero-shifting: finding the symmetry points with a budget of pulses before training starts."""

from dataclasses import dataclass
from typing import Literal

import torch

from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.errors import ConfigError, FieldError
from crossweep.schema import Whole
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class ZeroShifting(AbstractAlgorithm):
    """Before training, every device of the chosen tiles gets ``pulses`` alternating up and down pulses from
    mid-range; where it ends becomes its reference. Then ``then`` trains.

    The state relaxes to the symmetry point by ``(1 - u)(1 - q)`` per pair (relative steps u, q), so few
    pulses leave an error, and pulse noise and the last pulse (half a step) always do. The reference found
    replaces the exact subtraction of ``symmetry_point``; its skew and variability come on top, as errors of
    programming the reference.

    Args:
        then: the rule that trains afterwards.
        pulses: budget per device [pulse], even, >= 0; 0 subtracts the mid-range state.
        tiles: ``fast`` calibrates the tiles that take the gradient, ``all`` every tile.

    Raises:
        ConfigError: a parameter breaks its rule, or the device has no symmetry point.

    Source: Kim et al., arXiv 1907.10228 (2019).
    """

    then: AbstractAlgorithm
    pulses: Whole
    tiles: Literal["fast", "all"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pulses % 2:
            raise FieldError("pulses", f"must be even, got {self.pulses}")
        if self.then.is_digital:
            raise FieldError("then", "must be a rule with tiles, got a digital one")

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> AnalogWeight:
        weight = self.then.build(shape, factory)
        for name, tile in weight.tiles().items():
            if self.tiles == "all" or name in ("fast", "single"):
                zero_shift(tile, self.pulses, subtracted=factory.symmetry_point.subtract)
        return weight


def zero_shift(tile: AnalogTile, pulses: int, *, subtracted: bool) -> None:
    """Give every device ``pulses`` alternating pulses and make the states it reaches the tile's reference.

    Args:
        tile: the tile, in any state.
        pulses: pulses per device.
        subtracted: whether the tile's present reference contains the exact symmetry point.

    Raises:
        ConfigError: the device model has no symmetry point.
    """
    own = tile.bar.device.symmetry_point(tile.cells)
    if own is None:
        name = type(tile.bar.device).__name__
        raise ConfigError(f"algorithm.pulses: zero-shifting needs a symmetry point, and {name} has none")
    programming_error = tile.reference - (own if subtracted else 0.0)
    tile.reference = torch.zeros_like(tile.reference)
    tile.set_weight(torch.zeros_like(tile.weight))  # mid-range
    up = torch.ones_like(tile.state)
    for _ in range(pulses // 2):
        tile.pulse_devices(up)
        tile.pulse_devices(-up)
    tile.reference = tile.state + programming_error
    tile.set_weight(torch.zeros_like(tile.weight))
