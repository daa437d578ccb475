"""Any timm model by its name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, log2
from typing import Any, Literal

import torch
from torch import Tensor, nn

from crossweep.errors import ConfigError, FieldError
from crossweep.models.base import AbstractModel, InputShape, first_line
from crossweep.models.resize import Resize
from crossweep.schema import Count, Whole

Size = tuple[int, int]
_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")  # names that timm looks up outside its own list


def _timm() -> Any:
    """The library, imported where a network is made: that takes seconds, and ``--help`` only describes the class."""
    import timm

    return timm


@dataclass(frozen=True, kw_only=True)
class TimmModel(AbstractModel):
    """A timm model; channels, classes and image size come from the task.

    `in_chans` and `num_classes` are always given to timm, `img_size` where the model is built for one size
    (transformers with position-dependent weights: timm's `fixed_input_size`). A value in `kwargs` wins over
    both. With `image_size` the network resizes its images (bilinear) before anything else.

    Args:
        name: timm's name, e.g. `resnet18` or `swin_tiny_patch4_window7_224.ms_in1k` (`timm.list_models()`).
        pretrained: load timm's weights; needs the network once, then timm's cache.
        kwargs: keyword arguments of the timm model.
        small_up_to: longest image side [pixel] for which `small_kwargs` are laid over `kwargs`; 0 for never.
        small_kwargs: keyword arguments for such small images.
        cifar_stem: replace a ResNet's first layers (7x7 with stride 2, then max-pooling, made for 224 pixels)
            by one 3x3 convolution with stride 1; it starts from random weights also when `pretrained`.
        image_size: side that images are resized to [pixel], >= 1; None leaves them as they are; `auto` doubles
            their sides until the network takes them, up to the size that it is made for.

    Raises:
        ConfigError: timm does not know the name (the nearest names are given), a keyword asks for dropout or
            stochastic depth, which would draw from the global generator, or `image_size` is no size.
    """

    name: str
    pretrained: bool
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    small_up_to: Whole = 0
    small_kwargs: Mapping[str, Any] = field(default_factory=dict)
    cifar_stem: bool = False
    image_size: Count | Literal["auto"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.startswith(_ELSEWHERE) and not _timm().is_model(self.name):
            arch = self.name.split(".")[0]
            near = difflib.get_close_matches(arch, _timm().list_models(), n=3, cutoff=0.5)
            hint = f"; near: {', '.join(near)}" if near else "; `timm.list_models()` lists all"
            raise FieldError(
                "name", f"must be a model of timm {_timm().__version__}, got {self.name!r}{hint}"
            )
        self._config()  # an unknown tag of weights is found before any data are read
        for key in ("kwargs", "small_kwargs"):
            random = {k: v for k, v in getattr(self, key).items() if "drop" in k and v}
            if random:
                raise FieldError(key, f"must not ask for dropout or stochastic depth, got {random}")

    def create(self, input_shape: InputShape, classes: int) -> nn.Module:
        channels, height, width = input_shape
        *smaller, last = self._sizes((height, width))
        for size in smaller:
            try:
                model = self._sized(channels, size, classes)
            except ConfigError:
                continue
            if _takes(model, (channels, *size)):
                break
        else:
            size, model = last, self._sized(channels, last, classes)
        if size != (height, width):
            model.register_forward_pre_hook(Resize(size))
        return model

    def _sizes(self, own: Size) -> list[Size]:
        """Sizes to try, until the network takes one."""
        if self.image_size is None:
            return [own]
        if self.image_size != "auto":
            return [(self.image_size, self.image_size)]
        cfg = self._config()
        full = tuple(cfg.input_size[-2:]) if cfg else (224, 224)
        doublings = range(max(1, ceil(log2(max(full) / max(own)))))
        return [*((own[0] << k, own[1] << k) for k in doublings), full]

    def _sized(self, channels: int, size: Size, classes: int) -> nn.Module:
        """The network for images of one size."""
        arguments: dict[str, Any] = {"in_chans": channels, "num_classes": classes}
        cfg = self._config()
        if cfg and cfg.fixed_input_size:
            arguments["img_size"] = size[0] if size[0] == size[1] else size
        arguments.update(self.kwargs)
        if max(size) <= self.small_up_to:
            arguments.update(self.small_kwargs)
        model = self._create(arguments)
        if self.cifar_stem:
            cifar_stem_(model, channels)
        return model

    def _config(self) -> Any:
        """What timm knows about the weights; None for names that it looks up elsewhere."""
        if self.name.startswith(_ELSEWHERE):
            return None
        try:
            return _timm().get_pretrained_cfg(self.name, allow_unregistered=True)
        except RuntimeError as error:
            raise ConfigError(
                f"model.name: must name weights that timm knows, got {self.name!r}: {first_line(error)}"
            ) from error

    def _create(self, arguments: dict[str, Any]) -> nn.Module:
        try:
            model: nn.Module = _timm().create_model(self.name, pretrained=self.pretrained, **arguments)
        except Exception as error:  # whatever timm's constructors and its downloads raise
            message = first_line(error)
            if self.pretrained:
                raise ConfigError(
                    f"model.pretrained: true needs the weights of {self.name} that fit {arguments}: run once"
                    " with network access to fill timm's cache (HF_HOME, TORCH_HOME), or set it to false;"
                    f" timm says: {message}"
                ) from error
            cure = ""
            if (
                "unexpected keyword" in message
            ):  # most often one of the option that `model.name` was changed in
                cure = f"; `model=timm model.name={self.name}` is the network as timm defines it"
            raise ConfigError(
                f"model.kwargs: must suit timm's {self.name}, got {arguments}: {message}{cure}"
            ) from error
        return model


def _takes(model: nn.Module, shape: InputShape) -> bool:
    """Whether the network makes finite numbers of such images."""
    try:
        with torch.no_grad():
            out = model.eval()(torch.zeros(2, *shape))
    except Exception:  # whatever a network raises whose images are too small for it
        return False
    finally:
        model.train()
    return isinstance(out, Tensor) and bool(out.isfinite().all())


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
        raise ConfigError(
            f"model.cifar_stem: true needs a ResNet with one convolution as stem, got {kind};"
            " `model=timm model.name=...` is a network as timm defines it"
        )
    conv = nn.Conv2d(channels, first.out_channels, 3, stride=1, padding=1, bias=first.bias is not None)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # as timm's ResNet does
    model.conv1 = conv
    model.maxpool = nn.Identity()
