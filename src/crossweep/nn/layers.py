"""Analog layers: a digital layer's stand-in, with its weight on crossbars and its bias digital."""

from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor, nn

from crossweep.nn.functional import analog_product
from crossweep.nn.tiled_weight import TiledWeight


class AnalogLayer(nn.Module):
    """What all analog layers share: a weight on tiles and a digital bias."""

    def __init__(self, analog: TiledWeight, bias: Tensor | None) -> None:
        super().__init__()
        self.analog = analog
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    @abstractmethod
    def to_digital(self) -> nn.Module:
        """An ordinary layer with the logical weight."""

    @property
    def weight(self) -> Tensor:
        raise RuntimeError(
            "an analog layer has no `weight` parameter: read `layer.analog.logical_weight()`, write "
            "`layer.analog.set_weight(...)`; a model that uses `.weight` functionally cannot be converted"
        )


L = TypeVar("L", nn.Linear, nn.Conv2d)


def _fill(layer: L, source: AnalogLayer) -> L:
    with torch.no_grad():
        weight = source.analog.logical_weight()
        layer.weight = nn.Parameter(weight.reshape(layer.weight.shape))
        if source.bias is not None:
            layer.bias = nn.Parameter(source.bias.detach().clone())
    return layer


class AnalogLinear(AnalogLayer):
    """``y = W x + bias``; every vector along the last dimension is one sample of the update (a token, a patch).

    Shapes: [..., x_size] -> [..., d_size].
    """

    def __init__(self, analog: TiledWeight, bias: Tensor | None) -> None:
        super().__init__(analog, bias)
        self.in_features, self.out_features = analog.x_size, analog.d_size

    def forward(self, x: Tensor) -> Tensor:
        y = analog_product(x.reshape(-1, self.in_features), self.analog)
        y = y.reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def to_digital(self) -> nn.Linear:
        """An ordinary layer with the logical weight."""
        layer: nn.Linear = nn.utils.skip_init(
            nn.Linear, self.in_features, self.out_features, bias=self.bias is not None
        )
        return _fill(layer, self)

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, bias={self.bias is not None}"


class AnalogConv2d(AnalogLayer):
    """2-d convolution as one matrix: every output position is one sample of the update.

    Shapes: [n, channels, h, w] -> [n, out channels, h', w']; the tile is ``out channels`` by ``channels * kernel``.
    """

    def __init__(self, analog: TiledWeight, layer: nn.Conv2d) -> None:
        super().__init__(analog, layer.bias)
        self.in_channels, self.out_channels = layer.in_channels, layer.out_channels
        self.kernel_size, self.stride = layer.kernel_size, layer.stride
        self.padding, self.dilation = layer.padding, layer.dilation

    def forward(self, x: Tensor) -> Tensor:
        geometry = {"padding": self.padding, "dilation": self.dilation, "stride": self.stride}
        patches = torch.nn.functional.unfold(x, self.kernel_size, **geometry)  # type: ignore[arg-type]
        n, _, positions = patches.shape
        y = analog_product(patches.transpose(1, 2).reshape(n * positions, -1), self.analog)
        y = y.reshape(n, positions, -1).transpose(1, 2)
        h, w = (
            (x.shape[2 + i] + 2 * int(self.padding[i]) - self.dilation[i] * (self.kernel_size[i] - 1) - 1)
            // self.stride[i]
            + 1
            for i in (0, 1)
        )
        y = y.reshape(n, -1, h, w)
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)

    def to_digital(self) -> nn.Conv2d:
        """An ordinary layer with the logical weight."""
        layer: nn.Conv2d = nn.utils.skip_init(
            nn.Conv2d,
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            bias=self.bias is not None,
        )
        return _fill(layer, self)
