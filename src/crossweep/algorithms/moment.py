"""What a rule knows when it says what happens in a mini-batch."""

from dataclasses import dataclass

from crossweep.devices.base import AbstractDevice
from crossweep.engine.io_parameters import IOParameters


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One mini-batch of one weight.

    Args:
        devices: of each tile of the chain, the finest first.
        slices: columns of the chain's tiles I.
        length: length of a column O.
        batch: samples.
        lr: learning rate, > 0.
        gradient: the tile that takes the gradient.
        shares: share of each tile in the visible weight.
        forward_io: periphery of forward reads.
        backward_io: periphery of transposed reads.
    """

    devices: tuple[AbstractDevice, ...]
    slices: int
    length: int
    batch: int
    lr: float
    gradient: int
    shares: tuple[float, ...]
    forward_io: IOParameters
    backward_io: IOParameters
