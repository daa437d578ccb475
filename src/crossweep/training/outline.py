"""What a check needs to know of data and networks without training: sizes and the names of layers.

A study checks many points of one data set and network, so what was found is kept for the same description.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from crossweep.data.base import AbstractData, Task
from crossweep.models.base import AbstractModel, InputShape, new_head
from crossweep.nn.convertible import convertible
from crossweep.rng import Stream
from crossweep.training.allocation import allocating
from crossweep.training.place import Load

T = TypeVar("T")


@dataclass(frozen=True)
class Outline:
    """A task without its images: name, shape of an image [c, h, w], classes, training samples [1]."""

    name: str
    input_shape: InputShape
    classes: int
    samples: int

    @classmethod
    def of(cls, task: Task) -> "Outline":
        return cls(task.name, task.input_shape, task.classes, len(task.train))


@dataclass(frozen=True)
class _Same(Generic[T]):
    """A description that equals every other of the same words; its fields may hold lists."""

    words: str
    one: T = field(compare=False)


def outlines(data: AbstractData) -> tuple[Outline, Outline]:
    """Source and target of a data set, which is read once in a process."""
    return _outlines(_Same(repr(data), data))


def outlined(model: AbstractModel, target: Outline) -> nn.Module:
    """A network for the target, without numbers (on the meta device)."""
    return _network(_Same(repr(model), model), target)


def fresh(model: AbstractModel, target: Outline, generator: torch.Generator) -> nn.Module:
    """An untrained network with a head for the target."""
    with allocating("model"):
        network = model.build(target.input_shape, target.classes, generator)
        return new_head(network, target.classes, generator)


def loads(model: AbstractModel, target: Outline) -> dict[str, Load]:
    """What each layer that could go onto crossbars does for one image, by name."""
    return _loads(_Same(repr(model), model), target)


@lru_cache(maxsize=16)
def _loads(model: _Same[AbstractModel], target: Outline) -> dict[str, Load]:
    network, found = fresh(model.one, target, Stream(0).generator()).eval(), dict[str, Load]()

    def note(name: str, layer: nn.Module, out: object) -> None:
        if isinstance(out, Tensor):
            weight = layer.get_parameter("weight")
            found[name] = found.get(name, Load()) + Load(1, weight[0].numel() * out.numel())

    for name, layer in convertible(network).items():
        layer.register_forward_hook(lambda own, _, out, name=name: note(name, own, out))  # type: ignore[misc]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network(torch.zeros(1, *target.input_shape))
    return found


@lru_cache(maxsize=16)
def _outlines(data: _Same[AbstractData]) -> tuple[Outline, Outline]:
    with allocating("data"):
        return Outline.of(data.one.source()), Outline.of(data.one.target())


@lru_cache(maxsize=16)
def _network(model: _Same[AbstractModel], target: Outline) -> nn.Module:
    return fresh(model.one, target, Stream(0).generator()).to("meta")
