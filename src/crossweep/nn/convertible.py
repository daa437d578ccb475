"""Which layers have an analog counterpart that computes exactly the same."""

import sys
from collections import Counter
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossweep.nn.layers import Pad

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def convertible(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """Layers that have an analog counterpart, by name, in the model's order.

    Linear layers and 2-d convolutions (grouped ones too) whose ``forward`` is torch's own, or timm's equivalent.
    Left digital, because a copy on crossbars would be another network:

    * a subclass with a ``forward`` of its own (weight standardisation, quantisation, adapters);
    * a weight that is computed (spectral or weight norm, pruning), shared with another layer, frozen, not yet
      initialised or not of type float32;
    * a layer with hooks, buffers or parameters besides weight and bias.
    """
    held_by = Counter(id(p) for m in model.modules() for p in m._parameters.values() if p is not None)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and _known_forward(module)
        and _plain(module)
        and held_by[id(module.weight)] == 1
    }


def padding(layer: nn.Conv2d) -> Pad | None:
    """What a convolution does to its input before it convolves it without padding; None if that is not known."""
    kind = type(layer)
    if kind.forward is _timm("conv2d_same", "Conv2dSame"):
        kernel, stride, dilation = (list(side) for side in (layer.kernel_size, layer.stride, layer.dilation))
        return partial(_pad_same, kernel=kernel, stride=stride, dilation=dilation)
    if kind.forward is nn.Conv2d.forward and kind._conv_forward is nn.Conv2d._conv_forward:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        return partial(_pad, amounts=tuple(layer._reversed_padding_repeated_twice), mode=mode)
    return None


def _pad_same(x: Tensor, *, kernel: list[int], stride: list[int], dilation: list[int]) -> Tensor:
    from timm.layers.padding import pad_same

    padded: Tensor = pad_same(x, kernel, stride, dilation)
    return padded


def _pad(x: Tensor, amounts: tuple[int, ...], mode: str) -> Tensor:
    return F.pad(x, amounts, mode) if any(amounts) else x


def _known_forward(layer: nn.Linear | nn.Conv2d) -> bool:
    if "forward" in vars(layer) or "_conv_forward" in vars(layer):  # replaced on this very layer
        return False
    if isinstance(layer, nn.Conv2d):
        return padding(layer) is not None
    # known to be `x W^T + b`; all others, whatever their class is called, stay digital
    return type(layer).forward in (nn.Linear.forward, _timm("linear", "Linear"))


def _timm(module: str, kind: str) -> Any:
    """``forward`` of a layer of timm; None while nobody has imported timm, which takes seconds: then no layer is timm's."""
    found = sys.modules.get(f"timm.layers.{module}")
    return None if found is None else getattr(found, kind).forward


def _plain(layer: nn.Linear | nn.Conv2d) -> bool:
    weight = layer._parameters.get("weight")
    return (
        isinstance(weight, nn.Parameter)
        and not nn.parameter.is_lazy(weight)
        and weight.dtype == torch.float32
        and weight.requires_grad
        and set(layer._parameters) == {"weight", "bias"}
        and not layer._buffers
        and not layer._modules
        and not any(getattr(layer, hooks) for hooks in _HOOKS)
    )
