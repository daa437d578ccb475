"""One crossbar: drawn devices, their state, and the operations set, read and pulse."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from crossweep.common import lift
from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import Crossbar, Engine
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters
from crossweep.engine.reference.apart import unlike
from crossweep.rng import Stream
from crossweep.shapes import require_last


@dataclass(frozen=True, kw_only=True)
class TileParameters:
    """How one crossbar is made: the device, where its symmetry point sits, and how its pulses are
    simulated."""

    device: AbstractDevice
    symmetry_point: SymmetryPoint
    engine: Engine


class AnalogTile(nn.Module):
    """A crossbar of resistive devices.

    The *state* ``v`` is what the devices hold; the tile shows the *weight* ``w = v - r`` with the reference
    ``r`` (and, with write noise, a disturbance that is redrawn whenever a device is pulsed).

    Training may change both in place, as torch does with parameters: clone what is to be kept.

    Args:
        shape: ``(..., d_size, x_size)``; leading dimensions are independent crossbars that train at once.
        parameters: device, symmetry point, engine.
        population: stream of the devices' parameters.
        draws: stream of pulses and noise.
        torch_device: where the tensors live.

    Attributes:
        pulses_given: pulses that each device has received since it was made, of the state's shape; float32, so whole
            numbers are exact up to 16.7 million, and beyond each mini-batch's pulses to one part in 10^7.
    """

    state: Tensor
    weight: Tensor
    reference: Tensor
    pulses_given: Tensor
    age: Tensor
    settled: Tensor
    _bar: Crossbar
    _names: list[str]
    _stamp: tuple[tuple[int, int], ...]

    def __init__(
        self,
        shape: tuple[int, ...],
        parameters: TileParameters,
        *,
        population: Stream,
        draws: Stream,
        torch_device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.recipe = parameters
        self.draws = draws
        # made on the CPU and then moved: a seed is the same crossbar to the last bit, wherever it lies
        drawn = parameters.device.draw(shape, population)
        reference = parameters.symmetry_point.reference(parameters.device, drawn, population).to(torch_device)
        cells = drawn.to(torch_device)
        self._hold(Crossbar(parameters.device, cells))
        self.register_buffer("reference", reference)
        self.register_buffer("state", torch.minimum(torch.maximum(reference, cells.w_min), cells.w_max))
        self.register_buffer("weight", self.state - reference)
        if parameters.device.drift_nu:  # since when, and from where, each state drifts
            self.register_buffer("age", torch.ones_like(self.state))
            self.register_buffer("settled", torch.full_like(self.state, torch.nan))
        self.register_buffer("pulses_given", torch.zeros_like(self.state))

    @property
    def device(self) -> AbstractDevice:
        """The device model."""
        return self.recipe.device

    @property
    def engine(self) -> Engine:
        """What works on this tile."""
        return self.recipe.engine

    @property
    def write_noise(self) -> float:
        """Standard deviation of what a device shows around its state [w]."""
        return self.device.write_noise

    @property
    def pulses(self) -> float:
        """Pulses that all devices together have received."""
        return float(self.pulses_given.sum(dtype=torch.float64))

    @property
    def instances(self) -> int:
        """Crossbars side by side."""
        return prod(self.weight.shape[:-2])

    @property
    def cells(self) -> Cells:
        """The drawn devices."""
        return self.bar.cells

    @property
    def bar(self) -> Crossbar:
        """Model and devices together, as engines take them."""
        stamp = tuple((id(tensor), tensor._version) for tensor in self._drawn())
        if stamp != self._stamp:  # moved, replaced or loaded
            tensors = dict(zip(self._bar.cells.tensors(), self._drawn(), strict=True))
            self._bar, self._stamp = Crossbar(self._bar.device, Cells.from_tensors(tensors)), stamp
        return self._bar

    def _hold(self, bar: Crossbar) -> None:
        """Make the devices part of the module's state."""
        self._bar, self._names = bar, [f"cell_{name}" for name in bar.cells.tensors()]
        self._stamp = ()
        for name, tensor in zip(self._names, bar.cells.tensors().values(), strict=True):
            self.register_buffer(name, tensor)

    def _drawn(self) -> Iterator[Tensor]:
        return (self._buffers[name] for name in self._names)  # type: ignore[misc]

    # -- set and read ------------------------------------------------------------------------------

    def set_weight(self, weight: Tensor) -> None:
        """Write ``weight [..., d, x]``, clipped to what each device can show, ``[a - r, b - r]``.

        Raises:
            ShapeError: the shape is not the tile's.
        """
        require_last("weight", weight, *self.state.shape[-2:])
        cells = self.cells
        v = weight.expand_as(self.state) + self.reference
        # kernels go along rows; a transposed weight must not decide what works on the tile
        self.state = torch.minimum(torch.maximum(v, cells.w_min), cells.w_max).contiguous()
        self._show(torch.ones_like(self.state))

    def read(self, x: Tensor, io: IOParameters) -> Tensor:
        """``W x`` through the periphery: [..., b, x] -> [..., b, d]."""
        return self.engine.read(x, self.weight, io, self.draws.fork("forward"))

    def read_columns(self, columns: Tensor | slice, io: IOParameters) -> Tensor:
        """Columns read with one-hot inputs: [..., d, number of columns]."""
        return self.engine.read_columns(self.weight, io, self.draws.fork("slices"), columns)

    # -- pulse -------------------------------------------------------------------------------------

    def update(self, plan: PulsePlan, update: UpdateParameters) -> None:
        """Apply the stochastic pulses of a mini-batch."""
        self.state, pulses = self.engine.update(self.state, plan, self.bar, update, self.draws)
        self._account(pulses)

    def pulse(self, counts: Tensor, columns: Tensor | slice = slice(None)) -> None:
        """Give the devices of ``columns`` a known number of pulses, positive up: [..., d, number of
        columns]."""
        before = self.state, self.weight, self.reference
        self.state, self.weight = self.engine.pulse(*before, counts, columns, self.bar, self.draws)
        self.pulses_given[..., columns] += counts.abs()

    def pulse_devices(self, counts: Tensor, columns: Tensor | slice = slice(None)) -> None:
        """As ``pulse``, with counts of the state's shape: where several devices make a weight, each has its own."""
        self.pulse(counts, columns)

    def end_batch(self) -> None:
        """What happens between two mini-batches without pulses: decay, diffusion, drift."""
        if not self.device.relaxes:
            return
        memory = {"age": self.age, "settled": self.settled} if "age" in self._buffers else {}
        self.state, memory = _relaxed(self.device, self.bar, self.state, memory, self.draws.fork("relax"))
        for name, tensor in memory.items():
            setattr(self, name, tensor)
        self._show(torch.ones_like(self.state))

    def rest(self, batches: float) -> None:
        """Let the devices lie for so many mini-batches: decay, diffusion, drift."""
        if not self.device.relaxes:
            return
        age = self.age if self.device.drift_nu else torch.ones_like(self.state)
        self.state = self.device.rest(self.state, self.cells, age, batches, self.draws.fork("rest"))
        self._show(torch.ones_like(self.state))

    def _account(self, pulses: Tensor) -> None:
        self.pulses_given += pulses
        self._show(pulses)

    def _show(self, touched: Tensor) -> None:
        """Refresh the visible weight; write noise is redrawn where ``touched`` is positive."""
        stream, std = (
            self.draws.fork("write_noise"),
            lift(_write_noise, self.device, name="device.write_noise_std"),
        )
        self.weight = self.engine.show(self.state, self.reference, self.weight, touched, std, stream)


@unlike
def _relaxed(
    device: AbstractDevice, bar: Crossbar, v: Tensor, memory: dict[str, Tensor], stream: Stream
) -> tuple[Tensor, dict[str, Tensor]]:
    return device.relax(v, bar.cells, memory, stream)


def _write_noise(device: AbstractDevice) -> float:
    return device.write_noise
