"""A multilayer perceptron on the pixels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from crossweep.models.base import AbstractModel, Headed, InputShape
from crossweep.schema import Count

Activation = Literal["relu", "gelu", "tanh", "sigmoid"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@dataclass(frozen=True, kw_only=True)
class Mlp(AbstractModel):
    """Flattened pixels -> hidden layers -> classes, an activation after each hidden layer.

    Args:
        widths: outputs of each hidden layer [1], each >= 1; an empty list makes a linear classifier.
        activation: relu, gelu, tanh or sigmoid.

    Raises:
        ConfigError: a width is below 1, or the activation is unknown.
    """

    widths: Sequence[Count]
    activation: Activation

    def create(self, input_shape: InputShape, classes: int) -> nn.Module:
        return MlpNet(prod(input_shape), self.widths, ACTIVATIONS[self.activation], classes)


class MlpNet(Headed):
    """The network of `Mlp`; hidden layer i is `mlp.i`, the classifier `head`."""

    def __init__(self, inputs: int, widths: Sequence[int], activation: type[nn.Module], classes: int) -> None:
        super().__init__()
        sizes = [inputs, *widths]
        self.mlp = nn.ModuleList(nn.Linear(x, d) for x, d in itertools.pairwise(sizes))
        self.activation = activation()
        self.head = nn.Linear(sizes[-1], classes)
        last = len(self.mlp) - 1
        self.feature_info: list[dict[str, Any]] = [{"module": f"mlp.{last}"}] if widths else []

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.flatten(images, 1)
        for layer in self.mlp:
            hidden = self.activation(layer(hidden))
        return self.head(hidden)  # type: ignore[no-any-return]
