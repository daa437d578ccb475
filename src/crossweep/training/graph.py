"""Training steps without launches: a step is captured as a graph once, and replayed with what is new in each further one.

A step that is built in a way that has not been seen yet runs as ever, to find out what it takes (``feed.Trial``); the next
one that is built alike is captured (``feed.Record``). All tensors that a graph works on stay where they were: whatever a
step replaces is copied back there.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from crossweep import feed
from crossweep.algorithms.base import AnalogWeight
from crossweep.engine.chain import TransferState
from crossweep.feed import Record, Trial
from crossweep.nn.convert import analog_weights
from crossweep.rng import Company, Stream
from crossweep.tiles.analog_tile import AnalogTile

log = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...]
Step = Callable[..., Tensors]


class Graph(Protocol):
    """Launches that can be made again."""

    def capture(self, step: Callable[[], Tensors]) -> Tensors:
        """Take down what ``step`` launches, without doing it; returns the tensors that ``replay`` will fill."""

    def replay(self) -> None:
        """Do it, on the same tensors."""


class CUDAGraph:
    """Torch's."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def capture(self, step: Callable[[], Tensors]) -> Tensors:
        with torch.cuda.graph(self._graph):
            return step()

    def replay(self) -> None:
        self._graph.replay()


def graphs(device: torch.device) -> Callable[[], Graph] | None:
    """What captures launches on a device; None: nothing does."""
    return CUDAGraph if device.type == "cuda" else None


@cache
def _say(reason: str) -> None:
    """Once for each reason."""
    log.warning("training steps are launched one by one, not captured in a graph: %s", reason)


@dataclass
class _Kind:
    """Steps that are built alike.

    Args:
        shapes: of their inputs.
        trial: the first of them.
        graph: once one was captured.
        record: its feed.
        inputs: where it reads.
        outputs: where it writes.
    """

    shapes: tuple[object, ...]
    trial: Trial
    graph: Graph | None = None
    record: Record | None = None
    inputs: Tensors = ()
    outputs: Tensors = ()


@dataclass
class Steps:
    """Calls of ``step``, from a graph where that can be.

    Args:
        step: from tensors to tensors, always of the same shapes for inputs of the same shapes. What it changes beside them
            belongs to ``model``, or lies in tensors that stay where they are.
        model: with weights on crossbars.
        anchors: further objects that are the same as long as graphs may be used.
        make: a graph.
    """

    step: Step
    model: nn.Module
    anchors: Callable[[], Iterable[object]] = tuple
    make: Callable[[], Graph] = CUDAGraph
    _kinds: list[_Kind] = field(default_factory=list)
    _homes: "Homes | None" = None
    _known: list[object] = field(default_factory=list)
    _broken: bool = False

    def __call__(self, *inputs: Tensor) -> Tensors:
        """One step. Results are overwritten by the next."""
        if self._broken:
            return self.step(*inputs)
        self._forget_what_moved()
        kind = self._kind(inputs)
        if kind is None:
            return self._try(inputs)
        if kind.trial.reasons:
            return self.step(*inputs)
        assert self._homes is not None
        self._homes.settle()
        if kind.graph is not None and kind.record is not None:
            kind.record.renew()
        elif not self._capture(kind, inputs):
            return self.step(*inputs)
        assert kind.graph is not None and kind.record is not None
        for place, value in zip(kind.inputs, inputs, strict=True):
            place.copy_(value)
        kind.record.send()
        kind.graph.replay()
        return kind.outputs

    @property
    def captured(self) -> bool:
        """Whether there is a graph."""
        return any(kind.graph is not None for kind in self._kinds)

    def _kind(self, inputs: Tensors) -> _Kind | None:
        shapes = _shapes(inputs)
        return next((one for one in self._kinds if one.shapes == shapes and one.trial.fits()), None)

    def _try(self, inputs: Tensors) -> Tensors:
        """A step as ever, whose feed is looked at."""
        trial = Trial()
        with feed.feeding(trial):
            outputs = _aside(lambda: self.step(*inputs), inputs[0].device)
        for reason in trial.reasons:
            _say(reason)
        self._kinds.append(_Kind(_shapes(inputs), trial))
        self._homes = self._homes or Homes.of(self.model)
        self._known = self._known or self._anchors()
        return outputs

    def _capture(self, kind: _Kind, inputs: Tensors) -> bool:
        """Whether it could be done; if not, nothing has happened."""
        homes = self._homes
        assert homes is not None

        def settled() -> Tensors:
            outputs = self.step(*places)
            homes.settle()
            return outputs

        before, graph = Host.of(self.model), self.make()
        record, places = Record(kind.trial.size, inputs[0].device), tuple(one.clone() for one in inputs)
        try:
            with feed.feeding(record):
                outputs = graph.capture(settled)
        except Exception as error:  # whatever a driver, or a layer that is not ours, raises
            homes.back()
            before.back()
            self._broken = True
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            _say(f"{type(error).__name__}: {reason}")
            return False
        kind.graph, kind.record, kind.inputs, kind.outputs = graph, record, places, outputs
        return True

    def _forget_what_moved(self) -> None:
        """Graphs know where things lay; when one of them lies elsewhere, begin again."""
        if self._known and not _alike(self._known, self._anchors()):
            self._kinds, self._homes, self._known = [], None, []

    def _anchors(self) -> list[object]:
        modules = list(self.model.modules())
        bars = [module.bar for module in modules if isinstance(module, AnalogTile)]
        clocks = [module.clock for module in modules if isinstance(module, TransferState)]
        tallies = [module.tally for module in modules if isinstance(module, AnalogWeight)]
        return [*bars, *clocks, *tallies, *self.anchors()]


def steps_of(model: nn.Module, step: Step, anchors: Callable[[], Iterable[object]] = tuple) -> Steps | None:
    """Steps of a model; None where no graph is wanted, or nothing on its device captures one."""
    parts = [part for weight in analog_weights(model).values() for part in weight.parts()]
    wanted = all(part.engine.name == "cuda" and part.engine.parameters.graph == "auto" for part in parts)
    make = graphs(parts[0].scale.device) if parts and wanted else None
    return None if make is None else Steps(step, model, anchors, make)


@dataclass
class Homes:
    """Where the tensors of a model lie that a graph works on.

    Args:
        places: who holds a tensor, under which name, and the tensor itself.
    """

    places: list[tuple[dict[str, Any], str, Tensor]]

    @classmethod
    def of(cls, model: nn.Module) -> "Homes":
        """Those of its buffers, and of counts that devices make."""
        holders: list[dict[str, Any]] = [module._buffers for module in model.modules()]
        holders += [vars(one.tally) for one in model.modules() if isinstance(one, AnalogWeight)]
        return cls([(h, name, t) for h in holders for name, t in h.items() if isinstance(t, Tensor)])

    def settle(self) -> None:
        """What has been replaced goes back to where it was."""
        moved = [(holder, name, home) for holder, name, home in self.places if holder[name] is not home]
        owned = {home.untyped_storage().data_ptr() for _, _, home in moved}
        for holder, name, _ in moved:  # one may be a view of another that is about to change
            now = holder[name]
            if isinstance(now, Tensor) and now.untyped_storage().data_ptr() in owned:
                holder[name] = now.clone()
        for holder, name, home in moved:
            home.copy_(torch.as_tensor(holder[name], device=home.device))
            holder[name] = home

    def back(self) -> None:
        """Drop what has replaced them."""
        for holder, name, home in self.places:
            holder[name] = home


@dataclass
class Host:
    """What the host knows of a model's training.

    Args:
        streams: and how far each has been drawn from.
        states: modules and their numbers beside tensors.
        model: whose they are.
    """

    streams: list[tuple[Stream, dict[str, Any]]]
    states: list[tuple[nn.Module, Any]]
    model: nn.Module

    @classmethod
    def of(cls, model: nn.Module) -> "Host":
        """As it is now."""
        streams = [(stream, deepcopy(stream.state_dict())) for stream in _streams(model)]
        own = [one for one in model.modules() if type(one).get_extra_state is not nn.Module.get_extra_state]
        return cls(streams, [(one, deepcopy(one.get_extra_state())) for one in own], model)

    def back(self) -> None:
        """As it was: a step that was begun has not happened."""
        for stream, state in self.streams:
            stream.load_state_dict(state)
        for module, state in self.states:
            module.set_extra_state(state)
        for weight in analog_weights(self.model).values():
            weight.forget()


def _alike(one: Sequence[object], other: Sequence[object]) -> bool:
    """The same objects, the same addresses."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a is b or (isinstance(a, int) and a == b) for a, b in pairs)


def _streams(model: nn.Module) -> list[Stream]:
    held = [item for module in model.modules() for item in vars(module).values() if isinstance(item, Stream)]
    return [one for stream in held for one in (stream.members if isinstance(stream, Company) else (stream,))]


def _shapes(inputs: Sequence[Tensor]) -> tuple[object, ...]:
    return tuple((one.shape, one.dtype) for one in inputs)


def _aside(step: Callable[[], Tensors], device: torch.device) -> Tensors:
    """``step`` on a stream of its own: what torch makes at the first use of a stream must not be made in a capture."""
    if device.type != "cuda":
        return step()
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        outputs = step()
    torch.cuda.current_stream(device).wait_stream(side)
    return outputs
