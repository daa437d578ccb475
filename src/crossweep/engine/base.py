"""The contract of an engine: all that is done to the devices of crossbars, in numbers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from crossweep.common import Number, differ, lift, own, refuse
from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import Response
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.program import Program
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters
from crossweep.rng import Stream
from crossweep.schema import Checked, Positive, Whole

if TYPE_CHECKING:
    from crossweep.engine.chain import Job

Pair = tuple[Tensor, Tensor]
Level = Literal["pulse", "count", "mean"]
Backend = Literal["auto", "reference", "cpu", "cuda"]
GraphUse = Literal["auto", "off"]


@dataclass(frozen=True)
class Crossbar:
    """What an engine needs to know of one crossbar: the model and its drawn devices.

    Args:
        device: the model.
        cells: the devices.
        kept: what the compiled engine made of the devices, by leading index; they do not change.
        parts: single crossbars by leading index, likewise.
    """

    device: AbstractDevice
    cells: Cells
    kept: dict[tuple[int, ...], tuple[Any, ...]] = field(default_factory=dict, compare=False, repr=False)
    parts: "dict[tuple[int, ...], Crossbar]" = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def response(self) -> Response:
        """What pulses do to these devices."""
        return self.device.response(self.cells)

    @cached_property
    def kind(self) -> type[Response]:
        """Of the responses of all instances."""
        many = differ(self.device)
        kinds = {type(self.instance(i).response) for i in range(many)} if many else {type(self.response)}
        return kinds.pop() if len(kinds) == 1 else refuse("the kind of response")

    def received(self, up: Tensor, down: Tensor) -> Tensor:
        """Pulses that devices receive of ``up`` and ``down`` ones on their lines; those of a one-sided pair share them."""
        mirror = self.cells.extra.get("mirror")
        return up + down if mirror is None else torch.where(mirror > 0, up, down)

    def instance(self, i: int) -> "Crossbar":
        """One of several instances side by side."""
        cells = Cells.from_tensors({k: t[i] for k, t in self.cells.tensors().items()})
        return Crossbar(own(self.device, i), cells)

    def at(self, v: Tensor, place: tuple[int, ...]) -> "Crossbar":
        """The one crossbar at a leading index of states ``v [..., d, x]``."""
        if place not in self.parts:
            tensors = {k: t.expand_as(v)[place] for k, t in self.cells.tensors().items()}
            device = own(self.device, place[0]) if place else self.device
            self.parts[place] = Crossbar(device, Cells.from_tensors(tensors))
        return self.parts[place]


def granularity(device: AbstractDevice) -> Number:
    """The step that pulse trains and transfers are scaled with [w], of each instance where they differ."""
    return lift(_granularity, device)  # type: ignore[no-any-return]


def _granularity(device: AbstractDevice) -> float:
    return device.granularity


class Tile(Protocol):
    """What programs need of a crossbar; see ``tiles.analog_tile``."""

    state: Tensor
    weight: Tensor
    reference: Tensor
    pulses_given: Tensor
    draws: Stream

    @property
    def device(self) -> AbstractDevice: ...
    @property
    def bar(self) -> Crossbar: ...
    @property
    def engine(self) -> "Engine": ...
    @property
    def instances(self) -> int: ...
    @property
    def write_noise(self) -> float: ...
    def update(self, plan: PulsePlan, update: UpdateParameters) -> None: ...
    def read_columns(self, columns: Tensor | slice, io: IOParameters) -> Tensor: ...
    def pulse(self, counts: Tensor, columns: Tensor | slice = ...) -> None: ...


@dataclass(frozen=True, kw_only=True)
class EngineParameters(Checked):
    """How pulses are simulated.

    Args:
        level: ``pulse`` every pulse in order; ``count`` the same trains, their coincidences counted and applied together;
            ``mean`` expected counts and their variance, no trains.
        backend: ``reference`` is torch alone, ``cpu`` and ``cuda`` use compiled kernels where there are any, ``auto`` is
            ``cpu`` on CPUs and ``cuda`` on GPUs (see ``choose``). These two draw the same random numbers, the reference
            others of the same distribution.
        micro_batch: samples of a mini-batch whose pulses are drawn and kept at once [sample], >= 0; 0: all.
        graph: ``auto`` captures whole training steps in a CUDA graph, and replays it, where tensors lie on a GPU and a step
            does nothing that cannot be captured; ``off`` launches every step anew. Results are the same.
        max_relaxation: at ``count`` and ``mean``, largest typical relaxation L of a segment of a mini-batch [1], > 0;
            smaller is closer to ``pulse``.

    Raises:
        ConfigError: a parameter breaks its rule.
    """

    level: Level
    backend: Backend
    micro_batch: Whole
    graph: GraphUse
    max_relaxation: Positive = 1.0


class Engine(ABC):
    """What works on tiles; it has parameters but no state, and streams are all that it draws from.

    Letters: b samples, d rows, x columns, r columns that are looked at; ``...`` crossbars side by side.
    """

    name: ClassVar[str]

    def __init__(self, parameters: EngineParameters) -> None:
        self.parameters = parameters

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Engine) and (type(self), self.parameters) == (type(other), other.parameters)

    def __hash__(self) -> int:
        return hash((type(self), self.parameters))

    @property
    def micro_batch(self) -> int:
        """Samples whose pulses are kept at once; 0: all of a mini-batch."""
        return self.parameters.micro_batch

    @property
    def compiled(self) -> bool:
        """Whether there is nothing to compile before the first use, as far as a look at the disk tells."""
        return True

    # -- reads -------------------------------------------------------------------------------------

    @abstractmethod
    def read(
        self, x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool = True
    ) -> Tensor:
        """``W x`` through the periphery: ``x [..., b, x]``, ``weight [..., d, x]`` -> [..., b, d]; see ``io.read``."""

    @abstractmethod
    def read_columns(
        self, weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice
    ) -> Tensor:
        """Columns read with one-hot inputs: [..., d, r]; see ``io.read_slices``."""

    # -- from values to pulses ---------------------------------------------------------------------

    @abstractmethod
    def largest(self, values: Tensor) -> Tensor:
        """Largest absolute value of each vector [..., n] -> [...]."""

    @abstractmethod
    def rates(self, base: Number, tops: Pair, averages: Pair, tau: Number) -> Tensor:
        """A rate for each sample [..., b]; see ``auto_scale.scaled_rate``."""

    @abstractmethod
    def plan(
        self, x: Tensor, d: Tensor, lr: Tensor | Number, granularity: Number, update: UpdateParameters,
        stream: Stream | None = None, tops: Pair | None = None,
    ) -> PulsePlan:  # fmt: skip
        """Pulse probabilities of a mini-batch; see ``pulse_plan.plan_pulses``."""

    @abstractmethod
    def coincidences(self, plan: PulsePlan, stream: Stream) -> Tensor:
        """Of each sample of a plan one side of which is a single line: [..., b, lines of the other side]."""

    # -- pulses ------------------------------------------------------------------------------------

    @abstractmethod
    def update(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        """Run all samples of ``plan``, in order.

        Args:
            v: device states [..., d, x] [w]; left untouched.
            plan: pulse probabilities of the samples.
            bar: the crossbar.
            update: pulse parameters (pulse type, bit length).
            stream: source of pulses and noise.

        Returns:
            The new states, and the number of pulses each device received (both [..., d, x]).
        """

    @abstractmethod
    def pulse(
        self, v: Tensor, w: Tensor, reference: Tensor, counts: Tensor, columns: Tensor | slice, bar: Crossbar,
        stream: Stream,
    ) -> Pair:  # fmt: skip
        """States and visible weights [..., d, x] after ``counts [..., d, r]`` pulses of ``columns``, positive up."""

    @abstractmethod
    def show(
        self, v: Tensor, reference: Tensor, w: Tensor, touched: Tensor, std: Number, stream: Stream
    ) -> Tensor:
        """Visible weights with write noise of ``std`` [w], redrawn where ``touched`` is positive: all [..., d, x]."""

    # -- programs ----------------------------------------------------------------------------------

    @abstractmethod
    def refuses(self, program: Program, source: "Tile", target: "Tile") -> str | None:
        """Why there is no single call for a mini-batch of this program on these two tiles; None: there is one."""

    @abstractmethod
    def run(self, job: "Job") -> None:
        """A part of a mini-batch of a program."""
