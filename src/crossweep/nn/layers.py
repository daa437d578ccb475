"""Analog layers: a digital layer's stand-in, with its weight on crossbars and its bias digital."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Never, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossweep.errors import CrossweepError
from crossweep.nn.functional import analog_product
from crossweep.nn.tiled_weight import TiledWeight

Pad = Callable[[Tensor], Tensor]


class AnalogLayer(nn.Module):
    """What all analog layers share: a weight on tiles, the digital layer's own bias, and its geometry.

    Args:
        analog: the weight.
        layer: the digital layer that is replaced; kept without its parameters, for ``to_digital``.
    """

    bias: Tensor | None
    shell: nn.Module

    def __init__(self, analog: TiledWeight, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.analog = analog
        self.bias = layer.bias
        for name in layer.__constants__:  # sizes, stride, ...: some models ask a layer for them
            setattr(self, name, getattr(layer, name))
        shell = copy.copy(layer)
        shell._parameters = dict.fromkeys(layer._parameters)
        object.__setattr__(self, "shell", shell)  # no part of this module: neither found nor saved with it

    def to_digital(self) -> nn.Module:
        """A layer of the replaced kind with the logical weight."""
        layer: Any = copy.copy(self.shell)
        layer._parameters = dict.fromkeys(self.shell._parameters)
        weight = self.analog.logical_weight()
        layer.weight = nn.Parameter(weight.reshape(self.weight_shape))
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach().clone())
        return cast(nn.Module, layer.train(self.training))

    @property
    @abstractmethod
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the digital layer's weight."""

    @property
    def weight(self) -> "WeightOnCrossbars":
        """What a model finds where the digital layer has its weight."""
        return WeightOnCrossbars(self)


class WeightUseError(CrossweepError):
    """A model does with a layer's weight what crossbars cannot do.

    Args:
        layer: whose weight it is.
        use: what was asked of it.
    """

    def __init__(self, layer: AnalogLayer, use: str) -> None:
        super().__init__(
            f"`{use}` of an analog layer's weight: read `layer.analog.logical_weight()`, write "
            "`layer.analog.set_weight(...)`, or leave the layer digital (analog.exclude)"
        )
        self.layer, self.use = layer, use


class WeightOnCrossbars:
    """Stands in for ``layer.weight`` in models that call ``F.linear(x, layer.weight, bias)`` themselves.

    That product is a read of the crossbars like the layer's own. Shape, type and place are told; everything else
    needs the numbers, which a crossbar does not give away: ``WeightUseError``.
    """

    def __init__(self, layer: AnalogLayer) -> None:
        self._layer = layer
        self.shape = torch.Size(layer.weight_shape)
        self.dtype, self.device = torch.float32, layer.analog.parts()[0].scale.device

    def __getattr__(self, name: str) -> Never:
        raise WeightUseError(self._layer, f"weight.{name}")

    def __getitem__(self, index: object) -> Never:
        raise WeightUseError(self._layer, "weight[...]")

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Tensor:
        given: dict[str, Any] = dict(zip(("input", "weight", "bias"), args)) | dict(kwargs or {})
        own = given.get("weight")
        if function is F.linear and isinstance(own, cls) and isinstance(own._layer, AnalogLinear):
            return own._layer.product(given["input"], given.get("bias"))
        found = next(item for item in _flat((*args, *given.values())) if isinstance(item, cls))
        raise WeightUseError(found._layer, getattr(function, "__name__", str(function)))


def _flat(items: Any) -> list[Any]:
    return [one for item in items for one in (_flat(item) if isinstance(item, list | tuple) else [item])]


class AnalogLinear(AnalogLayer):
    """``y = W x + bias``; every vector along the last dimension is one sample of the update (a token, a patch).

    Shapes: [..., x_size] -> [..., d_size].
    """

    in_features: int
    out_features: int

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.bias)

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """``W x + bias`` with any bias."""
        y = analog_product(x.reshape(-1, self.in_features), self.analog)
        y = y.reshape(*x.shape[:-1], self.out_features)
        return y if bias is None else y + bias

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return self.out_features, self.in_features

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, bias={self.bias is not None}"


class AnalogConv2d(AnalogLayer):
    """2-d convolution as one matrix: every output position is one sample of the update.

    A grouped convolution has one tile per group, ``out channels / groups`` by ``channels / groups * kernel``: the
    groups share no device, and a depthwise one is as many tiles of a single row as it has channels. The tiles of a
    layer train side by side, with the same schedule of transfers.

    Padding is digital: zeros, reflected, replicated or circular, and what ``padding="same"`` asks for.

    Shapes: [n, channels, h, w] -> [n, out channels, h', w'], or both without n.

    Args:
        analog: the weight, [out channels, channels * kernel], or [groups, ...] of more than one group.
        layer: the digital layer.
        pad: what the layer does to its input before it convolves it without padding.
    """

    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def __init__(self, analog: TiledWeight, layer: nn.Conv2d, pad: Pad) -> None:
        super().__init__(analog, layer)
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:
            return cast(Tensor, self(x.unsqueeze(0)).squeeze(0))
        x = self.pad(x)
        patches = F.unfold(x, self.kernel_size, dilation=self.dilation, stride=self.stride)
        n, g = x.shape[0], self.groups
        samples = (
            patches.unflatten(1, (g, -1)).permute(1, 0, 3, 2).flatten(1, 2)
        )  # [g, n * positions, x_size]
        y = analog_product(samples if self.analog.groups else samples.squeeze(0), self.analog)
        y = y.reshape(g, n, *self._positions(x), -1).permute(1, 0, 4, 2, 3).flatten(1, 2)
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)

    def _positions(self, x: Tensor) -> tuple[int, ...]:
        spans = (k * (size - 1) + 1 for k, size in zip(self.dilation, self.kernel_size))
        return tuple((size - span) // step + 1 for size, span, step in zip(x.shape[-2:], spans, self.stride))

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return self.out_channels, self.in_channels // self.groups, *self.kernel_size

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels} -> {self.out_channels}, kernel={self.kernel_size}, groups={self.groups}, "
            f"bias={self.bias is not None}"
        )
