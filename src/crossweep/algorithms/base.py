"""The contract of a training rule and of the weight it owns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from crossweep.shapes import require_batch
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.io import read


class AnalogWeight(nn.Module, ABC):
    """A ``d_size`` by ``x_size`` weight in memory: tiles and digital state of one training rule.

    Tensors accept leading batch dimensions ``...``: independent crossbars that train at once.
    """

    def __init__(self, shape: tuple[int, ...], factory: TileFactory) -> None:
        super().__init__()
        self.shape = shape
        self.forward_io = factory.forward
        self.backward_io = factory.backward
        self.reads = factory.draws.fork("reads")

    @property
    @abstractmethod
    def weight(self) -> Tensor:
        """The visible weight [..., d, x], as forward and backward reads see it."""

    @abstractmethod
    def set_weight(self, weight: Tensor) -> None:
        """Write ``weight [..., d, x]`` (clipped to the devices' range) and reset what depends on it."""

    @abstractmethod
    def apply(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Train on a mini-batch, sample by sample: ``x [..., b, x]``, ``d [..., b, d]``, target ``-lr d x^T``."""

    def read(self, x: Tensor) -> Tensor:
        """Forward read ``W x``: [..., b, x] -> [..., b, d]."""
        return read(x, self.weight, self.forward_io, self.reads.fork("forward"))

    def read_transposed(self, d: Tensor) -> Tensor:
        """Backward read ``W^T d``: [..., b, d] -> [..., b, x]; it has no bound management."""
        weight = self.weight.transpose(-1, -2)
        return read(d, weight, self.backward_io, self.reads.fork("backward"), bounded=False)

    def update(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Check shapes, then train; a learning rate of zero changes nothing, not even a counter.

        Raises:
            ShapeError: ``x`` or ``d`` does not fit the weight.
        """
        require_batch(x, d, self.shape[-2], self.shape[-1])
        if lr != 0:
            self.apply(x, d, lr)

    def tiles(self) -> dict[str, AnalogTile]:
        """The tiles by name, in a fixed order."""
        return {name: module for name, module in self.named_children() if isinstance(module, AnalogTile)}

    def counters(self) -> dict[str, Any]:
        """Whole-number state beyond the buffers, for checkpoints."""
        return {}

    def load_counters(self, counters: dict[str, Any]) -> None:
        """Inverse of ``counters``."""

    def get_extra_state(self) -> dict[str, Any]:
        return self.counters()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.load_counters(state)


@dataclass(frozen=True, kw_only=True)
class AbstractAlgorithm(ABC):
    """Parameters of a training rule; ``build`` makes the state of one weight."""

    @abstractmethod
    def build(self, shape: tuple[int, ...], factory: TileFactory) -> AnalogWeight:
        """A weight of ``shape`` ``(..., d_size, x_size)`` under this rule, all zero."""

    @property
    def is_digital(self) -> bool:
        """Whether layers stay ordinary torch layers (the baseline)."""
        return False
