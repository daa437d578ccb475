"""Several instances of one model side by side: seeds of one configuration, or points that differ in numbers.

Every tensor gets a leading axis of instances, every stream stays each instance's own: what an instance draws and does is
what it would have drawn and done alone, up to the rounding of products of another shape.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from crossweep.algorithms.base import AnalogWeight
from crossweep.common import ApartError, common, numbers_only, refuse, same
from crossweep.engine.base import Crossbar
from crossweep.engine.chain import TransferState
from crossweep.nn.convert import analog_weights
from crossweep.rng import Company, Stream
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.unit_cells import UnitCellTile


class Instances:
    """k models as one. The models themselves are stale until ``scatter``.

    Args:
        models: of one structure, with the same engine. Streams and tensors are each one's own. Numbers of devices,
            peripheries and rules may differ where nobody goes by them any more, as by a device's spread, which has acted
            where the devices were drawn, or where who does so takes each instance's own.

    Attributes:
        whole: holds all crossbars; of its digital part only the structure counts.
        parameters: digital parameters by name [k, ...].
        buffers: digital buffers of floats by name [k, ...].

    Raises:
        ApartError: they cannot go in step. What instances do raises it too, before it does anything, where it asks for a
            number in which they differ.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        _require_one_structure(models)
        self.models = list(models)
        kept = {id(stream): stream for one in models[:1] for stream in _streams(one)}
        self.whole = copy.deepcopy(models[0], kept)
        analog = set(_analog_modules(self.whole))
        digital = [name for name, module in self.whole.named_modules() if name not in analog]
        own = [dict(model.named_parameters()) for model in models]
        self.parameters = {
            name: nn.Parameter(torch.stack([one[name].detach() for one in own]), parameter.requires_grad)
            for name, parameter in own[0].items()
        }
        self._floats = [
            f"{name}.{key}" if name else key
            for name in digital
            for key, buffer in self.whole.get_submodule(name)._buffers.items()
            if buffer is not None and buffer.is_floating_point()
        ]
        self.buffers = {
            name: torch.stack([model.get_buffer(name) for model in models]) for name in self._floats
        }
        for name in analog:
            gather(self.whole.get_submodule(name), [model.get_submodule(name) for model in models])

    def __len__(self) -> int:
        return len(self.models)

    def __call__(self, images: Tensor) -> Tensor:
        """Outputs [k, b, ...] for images [k, b, ...].

        Raises:
            ApartError: the network does what instances cannot do side by side.
        """

        def one(parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], own: Tensor) -> Any:
            return functional_call(self.whole, {**parameters, **buffers}, (own,))

        try:
            result: Tensor = vmap(one, randomness="error")(self.parameters, self.buffers, images)
        except RuntimeError as error:
            if "randomness" in str(error):  # more than `crossweep.nn.randomness` knows
                raise ApartError(
                    "the network draws random numbers that are not each instance's own"
                ) from error
            raise
        return result

    def train(self, mode: bool = True) -> None:
        """As of a module."""
        self.whole.train(mode)

    def silence(self, dead: Sequence[int]) -> None:
        """Forget what these instances would be trained on next, so that they get no pulses."""
        for weight in analog_weights(self.whole).values():
            which = torch.tensor(list(dead), device=weight.parts()[0].scale.device)
            weight.pending = [
                (turn, x.index_fill(0, which, 0.0), d.index_fill(0, which, 0.0))
                for turn, x, d in weight.pending
            ]

    def scatter(self) -> None:
        """Give every model its own numbers; they share memory with those here."""
        for i, model in enumerate(self.models):
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.data = self.parameters[name].data[i]
            for name in self._floats:
                owner, _, key = name.rpartition(".")
                setattr(model.get_submodule(owner), key, self.buffers[name][i])
        for name in _analog_modules(self.whole):
            scatter(self.whole.get_submodule(name), [model.get_submodule(name) for model in self.models])


def _require_one_structure(models: Sequence[nn.Module]) -> None:
    """The same parts, with tensors of the same shapes."""

    def parts(model: nn.Module) -> list[tuple[str, str]]:
        return [(name, type(module).__name__) for name, module in model.named_modules()]

    def shapes(model: nn.Module) -> dict[str, torch.Size]:
        return {name: tensor.shape for name, tensor in (*model.named_parameters(), *model.named_buffers())}

    for model in models[1:]:
        for known in (parts, shapes):
            if known(model) != known(models[0]):
                raise ApartError("the networks are not built alike")


def joined(own: Sequence[AnalogWeight]) -> AnalogWeight:
    """Weights on crossbars as one.

    Raises:
        ApartError: as of `Instances`.
    """
    _require_one_structure(own)
    whole = copy.deepcopy(own[0])
    for name, module in whole.named_modules():
        gather(module, [weight.get_submodule(name) for weight in own])
    return whole


def _analog_modules(model: nn.Module) -> list[str]:
    """Names of all modules that belong to weights on crossbars."""
    tops = [f"{name}.analog" if name else "analog" for name in analog_weights(model)]
    inner = {top: [key for key, _ in model.get_submodule(top).named_modules()] for top in tops}
    return [f"{top}.{key}" if key else top for top, keys in inner.items() for key in keys]


def _streams(model: nn.Module) -> list[Stream]:
    return [item for module in model.modules() for item in vars(module).values() if isinstance(item, Stream)]


def gather(whole: nn.Module, own: Sequence[nn.Module]) -> None:
    """Stack one module of a weight on crossbars, without its children."""
    if isinstance(whole, UnitCellTile):
        raise ApartError("several devices make a weight")
    for name, buffer in whole._buffers.items():
        if buffer is not None:
            setattr(whole, name, stacked([module.get_buffer(name) for module in own]))
    counted = set(whole.counters()) if isinstance(whole, AnalogWeight) else {"clock"}
    for name, item in list(vars(whole).items()):
        if name.startswith("_") or name in counted:  # torch's own, and what is stacked below
            continue
        items = [getattr(module, name) for module in own]
        if isinstance(item, Stream):
            setattr(whole, name, Company(items))
        elif is_dataclass(item) or isinstance(item, tuple):
            title = "" if name == "recipe" else name
            setattr(whole, name, common(items, title, sealed=not numbers_only(items)))
        elif not all(same(other, item) for other in items):
            refuse(name)
    if isinstance(whole, AnalogTile):
        whole._hold(Crossbar(whole.device, whole.cells))
    if isinstance(whole, TransferState):
        whole.clock = copy.copy(stacked([module.clock for module in own]))  # type: ignore[assignment]
    if isinstance(whole, AnalogWeight):
        whole.load_counters(stacked([module.counters() for module in own]))  # type: ignore[operator]


def scatter(whole: nn.Module, own: Sequence[nn.Module]) -> None:
    """Inverse of ``gather``."""
    for i, module in enumerate(own):
        for name, buffer in whole._buffers.items():
            if buffer is not None:
                setattr(module, name, one_of(buffer, i))
        if isinstance(whole, TransferState):
            module.clock = copy.copy(whole.clock)  # type: ignore[assignment]
        if isinstance(whole, AnalogWeight):
            module.load_counters(one_of(whole.counters(), i))  # type: ignore[operator]


def stacked(items: Sequence[Any], *, own: bool = False) -> Any:
    """Nested values of several instances as one: tensors with a leading axis, floats that differ as an array.

    Whole numbers must be the same, but for the ``tally``'s: those are each instance's ``own``.

    Raises:
        ApartError: something else differs.
    """
    first = items[0]
    if isinstance(first, Tensor) and (first.dim() or first.is_floating_point()):
        return torch.stack(list(items))
    if isinstance(first, Mapping):
        return {key: stacked([item[key] for item in items], own=own or key == "tally") for key in first}
    if isinstance(first, list | tuple) and all(len(item) == len(first) for item in items):
        return [stacked(list(column), own=own) for column in zip(*items, strict=True)]
    if all(bool(item == first) for item in items):
        return first
    if all(isinstance(item, float) or (own and isinstance(item, int)) for item in items):
        return np.array(items)
    raise ApartError(f"the instances are not in step: {first} and others")


def one_of(items: Any, i: int) -> Any:
    """Inverse of ``stacked``, for instance ``i``."""
    if isinstance(items, Tensor):
        return items[i] if items.dim() else items.clone()
    if isinstance(items, np.ndarray):
        return items[i].item()
    if isinstance(items, Mapping):
        return {key: one_of(item, i) for key, item in items.items()}
    return [one_of(item, i) for item in items] if isinstance(items, list | tuple) else items
