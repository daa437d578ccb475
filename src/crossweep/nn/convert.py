"""A digital model into an analog one: which layers, and a table of what became analog."""

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import prod
from typing import Any

from torch import nn

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.errors import ConfigError
from crossweep.nn.convertible import convertible, padding
from crossweep.nn.layers import AnalogConv2d, AnalogLayer, AnalogLinear
from crossweep.nn.tiled_weight import TiledWeight
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import TileMapping


@dataclass(frozen=True, kw_only=True)
class ConvertedLayer:
    """One row of the conversion table: an analog layer, or all digital parameters of one kind of layer.

    Args:
        layer: its name; ``digital: ...`` for what stays digital, which has neither tiles nor devices.
        kind: class of the (digital) layer.
        groups: matrices that the weight consists of [1].
        d_size: rows of each [1].
        x_size: columns of each [1].
        tiles: crossbars, all groups and roles together [1].
        devices: on all of them [1].
        share: of all parameters of the model [1]; those of all rows add up to 1.
    """

    layer: str
    kind: str
    groups: int = 0
    d_size: int = 0
    x_size: int = 0
    tiles: int = 0
    devices: int = 0
    share: float


def select(
    model: nn.Module,
    layers: str,
    parts: Mapping[str, Collection[str]],
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    share: float = 1.0,
) -> list[str]:
    """Names of the layers to convert, in the model's order.

    Args:
        model: the digital model.
        layers: a part's name, or ``none``.
        parts: module names of each named part.
        include: further layers, as shell patterns on full module names.
        exclude: layers that stay digital, likewise; they win.
        share: of the weights of all these layers [1]; the last layers are taken until they hold it.

    Raises:
        ConfigError: the part is unknown, a pattern matches nothing, no layer is left although some were asked for, or the
            model is a layer itself.
    """
    names = list(convertible(model))
    if "" in names:
        raise ConfigError(
            f"model: must hold its layers, got a single {type(model).__name__}; put it into torch.nn.Sequential"
        )
    if layers != "none" and layers not in parts:
        raise ConfigError(f"analog.layers: must be none or one of {tuple(parts)}, got {layers!r}")
    chosen = set(parts[layers]) & set(names) if layers != "none" else set()
    if layers != "none" and not chosen:
        raise ConfigError(f"analog.layers: the model has no convertible layer in part {layers!r}")
    chosen |= _matching(names, include, "include")
    chosen -= _matching(names, exclude, "exclude")
    if not chosen and layers != "none":
        raise ConfigError(
            "analog.exclude: leaves no layer to convert; use analog.layers=none for a digital model"
        )
    return _last(model, [name for name in names if name in chosen], share)


def _last(model: nn.Module, names: list[str], share: float) -> list[str]:
    """The last of these layers, until they hold a share of the weights of all."""
    sizes = [model.get_parameter(f"{name}.weight").numel() for name in names]
    wanted = share * sum(sizes)
    return [name for i, name in enumerate(names) if sum(sizes[i + 1 :]) < wanted]


def _matching(names: Collection[str], patterns: Iterable[str], key: str) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        hits = {name for name in names if fnmatchcase(name, pattern)}
        if not hits:
            examples = ", ".join(sorted(names)[:6])
            raise ConfigError(
                f"analog.{key}: pattern {pattern!r} matches none of the {len(names)} convertible layers ({examples}, ...)"
            )
        found |= hits
    return found


def convert(
    model: nn.Module,
    names: Iterable[str],
    rule: AbstractAlgorithm,
    mapping: TileMapping,
    factory: TileFactory,
    *,
    transfer_noise: float = 0.0,
) -> list[ConvertedLayer]:
    """Replace the named layers of ``model`` by analog ones, in place.

    Args:
        model: a digital model.
        names: layers to replace.
        rule: training rule of the weights.
        mapping: splitting and scaling.
        factory: makes the tiles; each layer has streams of its own name.
        transfer_noise: standard deviation of the error of each written weight [w_max].

    Returns:
        One row per converted layer, in the model's order, and then one per kind of digital layer.
    """
    layers, everything = convertible(model), _size(model.parameters())
    made = {
        name: _analog(layers[name], rule, mapping, factory.within(name), transfer_noise) for name in names
    }
    table = [_row(name, layers[name], analog.analog, everything) for name, analog in made.items()]
    _swap(model, {layers[name]: analog for name, analog in made.items()})
    return table + _digital_rest(model, everything)


def _analog(
    layer: nn.Linear | nn.Conv2d,
    rule: AbstractAlgorithm,
    mapping: TileMapping,
    factory: TileFactory,
    transfer_noise: float,
) -> AnalogLayer:
    matrix = layer.weight.detach().flatten(1)
    if isinstance(layer, nn.Linear):
        weight = TiledWeight(matrix, rule, mapping, factory, transfer_noise=transfer_noise)
        return AnalogLinear(weight, layer)
    if layer.groups > 1:
        matrix = matrix.unflatten(0, (layer.groups, -1))
        factory = replace(factory, instances=layer.groups)
    pad = padding(layer)
    assert pad is not None, "the layer is convertible"
    weight = TiledWeight(matrix, rule, mapping, factory, transfer_noise=transfer_noise)
    return AnalogConv2d(weight, layer, pad)


def _row(name: str, layer: nn.Module, weight: TiledWeight, everything: int) -> ConvertedLayer:
    groups = prod(weight.groups)
    return ConvertedLayer(
        layer=name,
        kind=type(layer).__name__,
        groups=groups,
        d_size=weight.d_size,
        x_size=weight.x_size,
        tiles=groups * sum(len(block.tiles()) for block in weight.parts()),
        devices=sum(tile.state.numel() for block in weight.parts() for tile in block.tiles().values()),
        share=groups * weight.d_size * weight.x_size / everything,
    )


def _digital_rest(model: nn.Module, everything: int) -> list[ConvertedLayer]:
    """One row per class of module whose parameters stay digital, the largest share first."""
    kinds: dict[str, dict[str, int]] = {}
    seen: set[nn.Parameter] = set()
    for name, module in model.named_modules():
        own = [p for p in module._parameters.values() if p is not None and p not in seen]
        seen.update(own)
        if size := _size(own):
            kind = "bias" if isinstance(module, AnalogLayer) else type(module).__name__
            kinds.setdefault(kind, {})[name or "the network itself"] = size
    rows = [
        ConvertedLayer(layer=_several(list(sizes)), kind=kind, share=sum(sizes.values()) / everything)
        for kind, sizes in kinds.items()
    ]
    return sorted(rows, key=lambda row: -row.share)


def _several(names: Sequence[str]) -> str:
    return f"digital: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _size(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters if not nn.parameter.is_lazy(p))


def to_digital(model: nn.Module) -> nn.Module:
    """A copy of ``model`` in which every analog layer is an ordinary one with its logical weight."""
    # tiles hold streams and devices that a copy does not need: swap them out while the rest is copied
    plain = {layer: layer.to_digital() for layer in model.modules() if isinstance(layer, AnalogLayer)}
    _swap(model, plain)
    copied = copy.deepcopy(model)
    _swap(model, {digital: layer for layer, digital in plain.items()})
    return copied


def _swap(model: nn.Module, new: Mapping[Any, nn.Module]) -> None:
    """Replace modules wherever the model holds them; one that it holds twice is one layer still."""
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child in new:
                setattr(module, name, new[child])


def analog_weights(model: nn.Module) -> dict[str, TiledWeight]:
    """The analog weights of a model by layer name."""
    return {name: module.analog for name, module in model.named_modules() if isinstance(module, AnalogLayer)}
