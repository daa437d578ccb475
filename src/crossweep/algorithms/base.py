"""The contract of a training rule and of the weight it owns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from crossweep import feed
from crossweep.algorithms.cost import Tally
from crossweep.common import Rate, lift, now
from crossweep.schema import Checked
from crossweep.shapes import require_batch
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.factory import TileFactory


class AnalogWeight(nn.Module, ABC):
    """A ``d_size`` by ``x_size`` weight in memory: tiles and digital state of one training rule.

    Tensors accept leading batch dimensions ``...``: independent crossbars that train at once.

    Attributes:
        scale: digital factor between this weight and the one it stands for, [..., d, 1] or [..., 1, 1]; set by the layer.
            Only rules whose step does not grow with the gradient need it.
        tally: events so far.
        slots: of the gradient's pulse trains so far [...].
        fed: whether all that the host does in ``train_on`` goes through ``crossweep.feed``, so that it can be captured.
    """

    fed: ClassVar[bool] = False
    scale: Tensor
    slots: Tensor

    def __init__(self, shape: tuple[int, ...], factory: TileFactory) -> None:
        super().__init__()
        self.shape = shape
        self.engine = factory.chosen
        self.forward_io = factory.forward
        self.backward_io = factory.backward
        self.reads = factory.draws.fork("reads")
        self.tally = Tally()
        self.register_buffer("scale", torch.ones(1, 1, device=factory.torch_device))
        counter = torch.zeros(shape[:-2], dtype=torch.float64, device=factory.torch_device)
        self.register_buffer("slots", counter)

    @property
    @abstractmethod
    def weight(self) -> Tensor:
        """The visible weight [..., d, x], as forward and backward reads see it."""

    @abstractmethod
    def set_weight(self, weight: Tensor) -> None:
        """Write ``weight [..., d, x]`` (clipped to the devices' range) and reset what depends on it."""

    @abstractmethod
    def train_on(self, x: Tensor, d: Tensor, lr: Any) -> None:
        """Train on a mini-batch, sample by sample: ``x [..., b, x]``, ``d [..., b, d]``, target ``-lr d x^T``.

        ``lr`` is a number, of all instances or of each, or, where ``fed``, what gives that of each step.
        """

    def read(self, x: Tensor) -> Tensor:
        """Forward read ``W x``: [..., b, x] -> [..., b, d]."""
        self.tally.add(forward_reads=self._vectors(x))
        return self.engine.read(x, self.weight, self.forward_io, self.reads.fork("forward"))

    def read_transposed(self, d: Tensor) -> Tensor:
        """Backward read ``W^T d``: [..., b, d] -> [..., b, x]; it has no bound management."""
        self.tally.add(backward_reads=self._vectors(d))
        weight, stream = self.weight.transpose(-1, -2), self.reads.fork("backward")
        return self.engine.read(d, weight, self.backward_io, stream, bounded=False)

    def update(self, x: Tensor, d: Tensor, lr: Rate) -> None:
        """Check shapes, then train; a learning rate of zero changes nothing, not even a counter.

        Raises:
            ShapeError: ``x`` or ``d`` does not fit the weight.
            ApartError: some instances have a rate of zero and others not.
        """
        require_batch(x, d, self.shape[-2], self.shape[-1])

        def trains() -> bool:
            return lift(bool, now(lr), name="whether they train")  # type: ignore[no-any-return]

        feed.same(trains)
        if not trains():
            return
        samples, tiles = self._vectors(x), self.tiles().values()
        if not self.fed or any(tile.device.n_devices > 1 for tile in tiles):
            feed.refuse("a weight is not trained by kernels alone")
        self.tally.add(samples=samples)
        # values become pulse chances
        self.tally.add(digital_operations=samples * (x.shape[-1] + d.shape[-1]))
        self.train_on(x, d, lr if self.fed else now(lr))
        for tile in tiles:
            tile.end_batch()

    def _vectors(self, x: Tensor) -> int:
        """Vectors [..., n] of each instance."""
        return prod(x.shape[:-1]) // self.reads.many

    def end_epoch(self, loss: float) -> None:
        """Called after every epoch with its mean training loss, for rules that change course with it."""

    def tiles(self) -> dict[str, AnalogTile]:
        """The tiles by name, in a fixed order."""
        return {name: module for name, module in self.named_children() if isinstance(module, AnalogTile)}

    # -- cost --------------------------------------------------------------------------------------

    @property
    def slice_length(self) -> int:
        """Numbers that one read for a transfer gives."""
        return self.shape[-2]

    @property
    def digital_values(self) -> float:
        """Numbers that the rule keeps in digital memory per weight."""
        return 0

    @property
    def digital_bits(self) -> float:
        """Bits that these take per weight."""
        return 32 * self.digital_values

    def cost(self) -> dict[str, float]:
        """What training has cost so far; every number may be summed over the weights of a model.

        Keys: those of ``Tally``; ``slots``; ``weights``; ``devices``; ``digital_memory`` [values]; ``digital_bytes``;
            ``pulses`` and, for every tile, ``pulses_<tile>``.
        """
        tiles, weights = self.tiles(), prod(self.shape)
        given = {f"pulses_{name}": tile.pulses for name, tile in tiles.items()}
        return {
            **self.tally.as_dict(),
            "slots": float(self.slots.sum()),
            "weights": weights,
            "devices": weights * sum(tile.device.n_devices for tile in tiles.values()),
            "digital_memory": round(weights * self.digital_values),
            "digital_bytes": round(weights * self.digital_bits / 8),
            "pulses": sum(given.values()),
            **given,
        }

    # -- checkpoints -------------------------------------------------------------------------------

    def counters(self) -> dict[str, Any]:
        """State beyond the buffers, for checkpoints."""
        return {"tally": self.tally.as_dict()}

    def load_counters(self, counters: dict[str, Any]) -> None:
        """Inverse of ``counters``."""
        self.tally.load(counters["tally"])

    def get_extra_state(self) -> dict[str, Any]:
        return self.counters()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.load_counters(state)


@dataclass(frozen=True, kw_only=True)
class AbstractAlgorithm(Checked, ABC):
    """Parameters of a training rule; ``build`` makes the state of one weight."""

    @abstractmethod
    def build(self, shape: tuple[int, ...], factory: TileFactory) -> AnalogWeight:
        """A weight of ``shape`` ``(..., d_size, x_size)`` under this rule, all zero."""

    @property
    def is_digital(self) -> bool:
        """Whether layers stay ordinary torch layers (the baseline)."""
        return False
