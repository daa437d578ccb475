"""A digital model into an analog one: which layers, and a table of what became analog."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.errors import ConfigError
from crossweep.nn.layers import AnalogConv2d, AnalogLayer, AnalogLinear
from crossweep.nn.tiled_weight import TiledWeight
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import Mapping


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


def convertible(model: nn.Module) -> dict[str, nn.Module]:
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


def select(names: Collection[str], include: Iterable[str], exclude: Iterable[str]) -> list[str]:
    """Names that match a pattern of ``include`` and none of ``exclude`` (shell patterns on the full module name).

    Raises:
        ConfigError: a pattern matches nothing.
    """
    chosen: dict[str, None] = {}
    for key, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            hits = [name for name in names if fnmatchcase(name, pattern)]
            if not hits:
                raise ConfigError(
                    f"model.analog.{key}: pattern {pattern!r} matches none of the {len(names)} convertible layers "
                    f"({', '.join(sorted(names)[:8])}{', ...' if len(names) > 8 else ''})"
                )
            for name in hits:
                chosen.pop(name, None) if key == "exclude" else chosen.setdefault(name)
    return [name for name in names if name in chosen]


def convert(
    model: nn.Module, names: Iterable[str], rule: AbstractAlgorithm, mapping: Mapping, factory: TileFactory
) -> list[ConvertedLayer]:
    """Replace the named layers of ``model`` by analog ones, in place; weights are written without noise.

    Returns:
        One row per converted layer, in the model's order.
    """
    layers = convertible(model)
    everything = sum(layer.weight.numel() for layer in layers.values())  # type: ignore[operator,union-attr]
    table = []
    for name in names:
        layer = layers[name]
        analog = _replace(model, name, layer, rule, mapping, factory.within(name))
        weight = analog.analog
        devices = sum(tile.state.numel() for block in weight.blocks for tile in block.tiles().values())
        table.append(
            ConvertedLayer(
                layer=name,
                kind=type(layer).__name__,
                d_size=weight.d_size,
                x_size=weight.x_size,
                tiles=sum(len(block.tiles()) for block in weight.blocks),
                devices=devices,
                share=weight.d_size * weight.x_size / everything,
            )
        )
    return table


def _replace(
    model: nn.Module, name: str, layer: nn.Module, rule: AbstractAlgorithm, mapping: Mapping, factory: TileFactory
) -> AnalogLayer:
    analog: AnalogLayer
    if isinstance(layer, nn.Conv2d):
        analog = AnalogConv2d(TiledWeight(AnalogConv2d.matrix(layer), rule, mapping, factory), layer)
    else:
        assert isinstance(layer, nn.Linear)
        analog = AnalogLinear(TiledWeight(AnalogLinear.matrix(layer), rule, mapping, factory), layer.bias)
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, analog)
    return analog


def analog_weights(model: nn.Module) -> dict[str, TiledWeight]:
    """The analog weights of a model by layer name."""
    return {name: module.analog for name, module in model.named_modules() if isinstance(module, AnalogLayer)}
