"""LeNet-5 as the field's published tables have it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor, nn

from crossweep.models.base import AbstractModel, Headed, InputShape
from crossweep.models.mlp import ACTIVATIONS, Activation
from crossweep.models.resize import Resize
from crossweep.schema import Count, Items

_KERNEL = 5


@dataclass(frozen=True, kw_only=True)
class LeNet5(AbstractModel):
    """5x5 convolutions, each with an activation and 2x2 max-pooling, then a hidden layer and the classifier.

    With two convolutions, 32 channels in the second, the hidden layer sees 512 values of 28x28 images. Images too
    small for the convolutions are doubled until they are not.

    Args:
        channels: of each convolution [1], each >= 1.
        width: outputs of the hidden layer [1], >= 1.
        activation: relu, gelu, tanh or sigmoid.

    Raises:
        ConfigError: a value is out of range.

    Source: Y. LeCun et al., Proc. IEEE 86:2278 (1998); sizes as Gokmen, Onen and Haensch, Front. Neurosci. 11:538 (2017).
    """

    channels: Annotated[Sequence[Count], Items(least=1)]
    width: Count
    activation: Activation

    def create(self, input_shape: InputShape, classes: int) -> nn.Module:
        channels, *sides = input_shape
        stages = len(self.channels)
        height, width = (_enough(side, stages) for side in sides)
        flat = self.channels[-1] * _left(height, stages) * _left(width, stages)
        sizes = (channels, *self.channels), (flat, self.width)
        model = LeNet5Net(*sizes, ACTIVATIONS[self.activation], classes)
        if [height, width] != sides:
            model.register_forward_pre_hook(Resize((height, width)))
        return model


class LeNet5Net(Headed):
    """The network of `LeNet5`; convolution i is `conv.i`, the hidden layer `mlp`, the classifier `head`."""

    def __init__(
        self,
        channels: Sequence[int],
        hidden: tuple[int, int],
        activation: type[nn.Module],
        classes: int,
    ) -> None:
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(x, d, _KERNEL) for x, d in itertools.pairwise(channels))
        self.pool = nn.MaxPool2d(2)
        self.mlp = nn.Linear(*hidden)
        self.activation = activation()
        self.head = nn.Linear(hidden[1], classes)
        self.feature_info: list[dict[str, Any]] = [{"module": "mlp"}]

    def forward(self, images: Tensor) -> Tensor:
        for layer in self.conv:
            images = self.pool(self.activation(layer(images)))
        return self.head(self.activation(self.mlp(images.flatten(1))))  # type: ignore[no-any-return]


def _enough(side: int, stages: int) -> int:
    """The side, doubled until all stages can take it."""
    return side if _left(side, stages) >= 1 else _enough(2 * side, stages)


def _left(side: int, stages: int) -> int:
    """What the stages leave of a side."""
    for _ in range(stages):
        side = (side - _KERNEL + 1) // 2
    return side
