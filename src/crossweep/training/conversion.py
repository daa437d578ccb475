"""Which layers of a network go onto crossbars, and the three steps there: room for them, the self-check, the tiles."""

import copy
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.models.parts import parts
from crossweep.nn.convert import ConvertedLayer, convert, select
from crossweep.nn.self_check import self_check
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import TileMapping
from crossweep.training.allocation import require_memory

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Which layers become analog, and how they are laid out. A digital rule leaves every network as it is.

    Args:
        layers: a named part of the model (see ``crossweep.models.parts``) or ``none``.
        include: further layers, as shell patterns on module names.
        exclude: layers that stay digital, likewise.
        share: of the weights of these layers [1], in [0, 1]; the last layers first.
        mapping: splitting over tiles and scaling.
        weight_transfer: standard deviation of the error when a weight is written [w_max], >= 0.
    """

    layers: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    share: float
    mapping: TileMapping
    weight_transfer: float

    @property
    def is_empty(self) -> bool:
        """Whether no layer is chosen, whatever the network."""
        return not self.share or (self.layers == "none" and not self.include)

    def names(self, model: nn.Module, rule: AbstractAlgorithm) -> list[str]:
        """The chosen layers of ``model``, in its order.

        Raises:
            ConfigError: see ``crossweep.nn.convert.select``.
        """
        if rule.is_digital:
            return []
        return select(model, self.layers, parts(model), self.include, self.exclude, self.share)

    def require_memory(self, network: nn.Module, rule: AbstractAlgorithm, factory: TileFactory) -> None:
        """Refuse crossbars that do not fit into memory.

        Raises:
            ConfigError: they do not; what they need, and which keys to change.
        """
        if names := self.names(network, rule):
            shapes = {name: network.get_parameter(f"{name}.weight").flatten(1).shape for name in names}
            require_memory(shapes, rule, factory)

    def check(
        self,
        network: nn.Module,
        rule: AbstractAlgorithm,
        factory: TileFactory,
        inputs: Tensor | tuple[Tensor, ...],
    ) -> None:
        """Compare a copy on ideal devices with the network, see ``self_check``.

        Raises:
            ConfigError: it would be another network.
        """
        if names := self.names(network, rule):
            self_check(network, names, self.mapping, factory, inputs)

    def convert(
        self, digital: M, rule: AbstractAlgorithm, factory: TileFactory
    ) -> tuple[M, list[ConvertedLayer]]:
        """A copy of ``digital`` with the chosen layers on crossbars, and the table of its layers."""
        model = copy.deepcopy(digital)
        if not (names := self.names(model, rule)):
            return model, []
        return model, convert(model, names, rule, self.mapping, factory, transfer_noise=self.weight_transfer)
