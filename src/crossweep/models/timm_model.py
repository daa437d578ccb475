"""Any timm model by its name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
from torch import nn

from crossweep.errors import ConfigError
from crossweep.models.base import AbstractModel, InputShape, first_line

_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")  # names that timm looks up outside its own list


@dataclass(frozen=True, kw_only=True)
class TimmModel(AbstractModel):
    """A timm model; channels, classes and image size come from the task.

    `in_chans` and `num_classes` are always given to timm, `img_size` where the model is built for one size
    (transformers with position-dependent weights: timm's `fixed_input_size`). A value in `kwargs` wins over
    both.

    Args:
        name: timm's name, e.g. `resnet18` or `swin_tiny_patch4_window7_224.ms_in1k` (`timm.list_models()`).
        pretrained: load timm's weights; needs the network once, then timm's cache.
        kwargs: keyword arguments of the timm model.
        small_up_to: longest image side [pixel] for which `small_kwargs` are laid over `kwargs`; 0 for never.
        small_kwargs: keyword arguments for such small images.
        cifar_stem: replace a ResNet's first layers (7x7 with stride 2, then max-pooling, made for 224 pixels)
            by one 3x3 convolution with stride 1; it starts from random weights also when `pretrained`.

    Raises:
        ConfigError: timm does not know the name (the nearest names are given), or a keyword asks for dropout
            or stochastic depth, which would draw from the global generator.
    """

    name: str
    pretrained: bool = False
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    small_up_to: int = 0
    small_kwargs: Mapping[str, Any] = field(default_factory=dict)
    cifar_stem: bool = False

    def __post_init__(self) -> None:
        if not self.name.startswith(_ELSEWHERE) and not timm.is_model(self.name):
            arch = self.name.split(".")[0]
            near = difflib.get_close_matches(arch, timm.list_models(), n=3, cutoff=0.5)
            hint = f"; near: {', '.join(near)}" if near else "; `timm.list_models()` lists all"
            raise ConfigError(
                f"`model.name` must be a model of timm {timm.__version__}, got {self.name!r}{hint}"
            )
        self._fixed_size()  # an unknown tag of weights is found before any data are read
        for key in ("kwargs", "small_kwargs"):
            random = {k: v for k, v in getattr(self, key).items() if "drop" in k and v}
            if random:
                raise ConfigError(f"`model.{key}` must not ask for dropout or stochastic depth, got {random}")

    def create(self, input_shape: InputShape, classes: int) -> nn.Module:
        channels, height, width = input_shape
        arguments: dict[str, Any] = {"in_chans": channels, "num_classes": classes}
        if self._fixed_size():
            arguments["img_size"] = height if height == width else (height, width)
        arguments.update(self.kwargs)
        if max(height, width) <= self.small_up_to:
            arguments.update(self.small_kwargs)
        model = self._create(arguments)
        if self.cifar_stem:
            cifar_stem_(model, channels)
        return model

    def _fixed_size(self) -> bool:
        if self.name.startswith(_ELSEWHERE):
            return False
        try:
            cfg = timm.get_pretrained_cfg(self.name, allow_unregistered=True)
        except RuntimeError as error:
            raise ConfigError(
                f"`model.name` must name weights that timm knows, got {self.name!r}: {first_line(error)}"
            ) from error
        return bool(cfg and cfg.fixed_input_size)

    def _create(self, arguments: dict[str, Any]) -> nn.Module:
        try:
            model: nn.Module = timm.create_model(self.name, pretrained=self.pretrained, **arguments)
        except Exception as error:  # whatever timm's constructors and its downloads raise
            message = first_line(error)
            if self.pretrained:
                raise ConfigError(
                    f"`model.pretrained=true` needs the weights of {self.name} that fit {arguments}: run once"
                    " with network access to fill timm's cache (HF_HOME, TORCH_HOME), or set it to false;"
                    f" timm says: {message}"
                ) from error
            raise ConfigError(
                f"`model.kwargs` must suit timm's {self.name}, got {arguments}: {message}"
            ) from error
        return model


def cifar_stem_(model: nn.Module, channels: int) -> None:
    """Replace the stem of a timm ResNet by one 3x3 convolution with stride 1 and no pooling.

    Raises:
        ConfigError: the model has no such stem.

    Source: K. He et al., Deep residual learning for image recognition, CVPR 2016, section 4.2 (the first
        layer).
    """
    first, pool = getattr(model, "conv1", None), getattr(model, "maxpool", None)
    if not isinstance(first, nn.Conv2d) or pool is None:
        kind = type(model).__name__
        raise ConfigError(f"`model.cifar_stem=true` needs a ResNet with one convolution as stem, got {kind}")
    conv = nn.Conv2d(channels, first.out_channels, 3, stride=1, padding=1, bias=first.bias is not None)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # as timm's ResNet does
    model.conv1 = conv
    model.maxpool = nn.Identity()
