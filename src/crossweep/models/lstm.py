"""A long short-term memory whose weights see every time step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from crossweep.models.base import AbstractModel, Headed, InputShape
from crossweep.schema import Count


@dataclass(frozen=True, kw_only=True)
class Lstm(AbstractModel):
    """LSTM layers over the columns of an image, one time step each; the last state is classified.

    A sequence is an image whose columns are its times and whose channels and rows its values; of a picture the columns are
    read from left to right. Each layer has two weights, of its input and of its own last output, with the four gates below
    one another.

    Args:
        hidden: outputs of a layer [1], >= 1.
        layers: one above the other [1], >= 1.

    Raises:
        ConfigError: a value is out of range.

    Source: S. Hochreiter and J. Schmidhuber, Neural Comput. 9:1735 (1997), with the forget gate of Gers et al., Neural
        Comput. 12:2451 (2000); gates in torch's order.
    """

    hidden: Count
    layers: Count

    def create(self, input_shape: InputShape, classes: int) -> nn.Module:
        channels, height, _ = input_shape
        return LstmNet(channels * height, self.hidden, self.layers, classes)


class LstmNet(Headed):
    """The network of `Lstm`; the weights of layer i are `lstm.i.input` and `lstm.i.recurrent`, the classifier `head`."""

    def __init__(self, features: int, hidden: int, layers: int, classes: int) -> None:
        super().__init__()
        sizes = [features, *[hidden] * (layers - 1)]
        self.lstm = nn.ModuleList(LstmLayer(size, hidden) for size in sizes)
        self.head = nn.Linear(hidden, classes)
        self.feature_info: list[dict[str, Any]] = [{"module": f"lstm.{layers - 1}"}]

    def forward(self, images: Tensor) -> Tensor:
        values = images.flatten(1, 2).permute(2, 0, 1)  # [times, b, features]
        for layer in self.lstm:
            values = layer(values)
        return self.head(values[-1])  # type: ignore[no-any-return]


class LstmLayer(nn.Module):
    """[times, b, features] -> [times, b, hidden], from a state of zero."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.input = nn.Linear(features, 4 * hidden)
        self.recurrent = nn.Linear(hidden, 4 * hidden, bias=False)
        self.hidden = hidden

    def forward(self, values: Tensor) -> Tensor:
        output = cell = values.new_zeros(values.shape[1], self.hidden)
        outputs = []
        for driven in self.input(values):
            i, f, g, o = (driven + self.recurrent(output)).chunk(4, -1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            output = o.sigmoid() * cell.tanh()
            outputs.append(output)
        return torch.stack(outputs)
