"""Which layers of a model are attention, MLP, head, last stage: the named choices of the conversion."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from crossweep.models.base import HasClassifier

PARTS = ("all", "attention", "mlp", "conv", "patch_embed", "downsample", "last_stage", "head")
"""The names `parts` knows."""


def parts(model: nn.Module) -> dict[str, set[str]]:
    """Names of the linear and convolution layers in each part of `model`; a part it lacks is an empty set.

    Parts overlap: the attention of the last block belongs to `attention` and to `last_stage`. A network without
    timm's `get_classifier` has no `head`, one without `feature_info` no `last_stage`.

    * `all`: every `nn.Linear` and `nn.Conv2d`
    * `attention`: query/key/value and projection layers (a path component with `attn` or `attention`)
    * `mlp`: layers of the feed-forward blocks (a path component with `mlp` or `ffn`)
    * `conv`: the convolutions
    * `patch_embed`: the first layer, or all layers of a stem
    * `downsample`: patch merging of a Swin, shortcut convolutions of a ResNet
    * `last_stage`: the last stage of a Swin, ResNet or ConvNeXt, the last block of a ViT (timm's
      `feature_info`)
    * `head`: the classifier
    """
    layers: dict[str, nn.Module] = {
        n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)
    }
    classifier = _classifier(model)
    attention = _with_component(layers, "attn", "attention")
    return {
        "all": set(layers),
        "attention": attention,
        "mlp": _with_component(layers, "mlp", "ffn") - classifier - attention,
        "conv": {n for n, m in layers.items() if isinstance(m, nn.Conv2d)},
        "patch_embed": _with_component(layers, "patch_embed", "stem") | (_first_layers(model) & set(layers)),
        "downsample": _with_component(layers, "downsample"),
        "last_stage": _below(layers, _last_stage(model)) - classifier,
        "head": classifier & set(layers),
    }


def _with_component(layers: dict[str, nn.Module], *words: str) -> set[str]:
    return {n for n in layers if any(word in component for component in n.split(".") for word in words)}


def _below(layers: dict[str, nn.Module], prefix: str | None) -> set[str]:
    return {n for n in layers if prefix and (n == prefix or n.startswith(prefix + "."))}


def _classifier(model: nn.Module) -> set[str]:
    """Names of the classifier's modules; some timm models have two and return a tuple, other networks tell none."""
    if not hasattr(model, "get_classifier"):
        return set()
    found: Any = cast(HasClassifier, model).get_classifier()
    heads = found if isinstance(found, tuple) else (found,)
    inner = {id(m) for head in heads for m in head.modules()}
    return {n for n, m in model.named_modules() if id(m) in inner}


def _first_layers(model: nn.Module) -> set[str]:
    cfg: Any = getattr(model, "default_cfg", None) or {}
    first = cfg.get("first_conv") or ()
    return {first} if isinstance(first, str) else set(first)


def _last_stage(model: nn.Module) -> str | None:
    info: Any = getattr(model, "feature_info", None)
    if not info:
        return None
    last = info[-1] if isinstance(info, list) else info.get_dicts()[-1]
    return str(last["module"])
