"""A digital model into an analog one: which layers, and a table of what became analog."""

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.errors import ConfigError
from crossweep.nn.layers import AnalogConv2d, AnalogLayer, AnalogLinear
from crossweep.nn.tiled_weight import TiledWeight
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import Mapping as TileMapping


@dataclass(frozen=True, kw_only=True)
class ConvertedLayer:
    """One row of the conversion table."""

    layer: str
    kind: str
    d_size: int
    x_size: int
    tiles: int
    devices: int
    share: float  # of all weights of the model that sit in convertible layers


def convertible(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """Layers that have an analog counterpart, by name: linear layers and ungrouped, zero-padded 2-d convolutions."""
    found = {}
    for name, module in model.named_modules():
        plain_linear = isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward
        plain_conv = (
            isinstance(module, nn.Conv2d)
            and module.groups == 1
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        )
        if plain_linear or plain_conv:
            found[name] = module
    return found


def select(
    model: nn.Module,
    layers: str,
    parts: Mapping[str, Collection[str]],
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> list[str]:
    """Names of the layers to convert, in the model's order.

    Args:
        model: the digital model.
        layers: a part's name, or ``none``.
        parts: module names of each named part.
        include: further layers, as shell patterns on full module names.
        exclude: layers that stay digital, likewise; they win.

    Raises:
        ConfigError: the part is unknown, a pattern matches nothing, or no layer is left although some were asked for.
    """
    names = list(convertible(model))
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
    return [name for name in names if name in chosen]


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
        One row per converted layer, in the model's order.
    """
    layers = convertible(model)
    everything = sum(layer.weight.numel() for layer in layers.values())
    table = []
    for name in names:
        layer = layers[name]
        within = factory.within(name)
        matrix = layer.weight.detach().flatten(1)
        weight = TiledWeight(matrix, rule, mapping, within, transfer_noise=transfer_noise)
        analog = (
            AnalogConv2d(weight, layer) if isinstance(layer, nn.Conv2d) else AnalogLinear(weight, layer.bias)
        )
        _put(model, name, analog)
        devices = sum(tile.state.numel() for block in weight.parts() for tile in block.tiles().values())
        table.append(
            ConvertedLayer(
                layer=name,
                kind=type(layer).__name__,
                d_size=weight.d_size,
                x_size=weight.x_size,
                tiles=sum(len(block.tiles()) for block in weight.parts()),
                devices=devices,
                share=weight.d_size * weight.x_size / everything,
            )
        )
    return table


def to_digital(model: nn.Module) -> nn.Module:
    """A copy of ``model`` in which every analog layer is an ordinary one with its logical weight."""
    # tiles hold streams and devices that a copy does not need: swap them out while the rest is copied
    layers = {name: module for name, module in model.named_modules() if isinstance(module, AnalogLayer)}
    for name, layer in layers.items():
        _put(model, name, layer.to_digital())
    copied = copy.deepcopy(model)
    for name, layer in layers.items():
        _put(model, name, layer)
    return copied


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)


def analog_weights(model: nn.Module) -> dict[str, TiledWeight]:
    """The analog weights of a model by layer name."""
    return {name: module.analog for name, module in model.named_modules() if isinstance(module, AnalogLayer)}
