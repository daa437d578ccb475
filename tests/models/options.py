"""Every model option of the configuration, composed as the entry point composes it."""

from functools import cache
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from crossweep.models.base import AbstractModel, InputShape
from crossweep.nodes import make
from crossweep.paths import conf_dir, version_base

READERS = {"tiny_gpt"}  # of text, not of images: tests/models/test_sequences.py
NAMES = sorted(
    p.stem for p in (conf_dir() / "model").glob("*.yaml") if p.stem[0] != "_" and p.stem not in READERS
)
NAMES_TO_GIVE: dict[str, dict[str, Any]] = {"timm": {"name": "test_vit2"}}
DIGITS, CIFAR = (1, 8, 8), (3, 32, 32)  # image shapes of the default and of the reference task
CLASSES = 5


@cache
def settings(name: str) -> dict[str, Any]:
    """The composed keys of one option."""
    with initialize_config_dir(str(conf_dir()), **version_base()):
        content = OmegaConf.to_container(compose(overrides=[f"+model={name}"]).model)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()} | NAMES_TO_GIVE.get(name, {})


def load(name: str, /, **changes: Any) -> AbstractModel:
    """The model description of one option with some keys changed."""
    description = make(settings(name) | changes, "model")
    assert isinstance(description, AbstractModel)
    return description


def build(description: AbstractModel, shape: InputShape = DIGITS, seed: int = 0) -> nn.Module:
    """The network with weights of that seed."""
    return description.build(shape, CLASSES, torch.Generator().manual_seed(seed))
