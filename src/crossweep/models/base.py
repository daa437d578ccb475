"""What a model description does, and how models draw their initial weights."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import torch
from torch import nn

from crossweep.errors import ConfigError
from crossweep.schema import Checked

InputShape = tuple[int, int, int]
"""Channels, height, width of one image."""


class HasClassifier(Protocol):
    """timm's interface to a model's last layer; models of our own offer it as well."""

    def get_classifier(self) -> nn.Module: ...

    def reset_classifier(self, num_classes: int) -> None: ...


class Headed(nn.Module):
    """A network whose classifier is the linear layer ``head``."""

    head: nn.Linear

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        self.head = nn.Linear(self.head.in_features, num_classes)


class AbstractModel(Checked, ABC):
    """The description of a network; a yaml in conf/model names a subclass by `_target_`.

    A subclass is a frozen keyword-only dataclass whose fields are the yaml's keys, checked in
    `__post_init__`. The network it builds offers timm's `get_classifier` and `reset_classifier`, and
    `feature_info` whose last entry names the module of the last stage.
    """

    @abstractmethod
    def create(self, input_shape: InputShape, classes: int) -> nn.Module:
        """A fresh network, its weights drawn from torch's global generator; called by `build` alone."""

    def build(self, input_shape: InputShape, classes: int, generator: torch.Generator) -> nn.Module:
        """A network in training mode for images of `input_shape` [c, h, w].

        Its weights are determined by `generator`; the global generator is left as it was. Dropout and
        stochastic depth are off: training on crossbars is short, and all draws come from named streams.

        Raises:
            ConfigError: the settings do not fit together, or the network cannot take such images.
        """
        with drawing_from(generator):
            model = self.create(input_shape, classes)
        switch_off_dropout_(model)
        _check_output(model, input_shape, classes)
        return model.train()


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Inside, torch's global CPU generator is seeded by one draw from `generator`; then it is as before.

    Initialisers of timm and torch know the global generator alone. This is the one place that lends it to
    them.
    """
    seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed.item()))
        yield


def new_head(model: nn.Module, classes: int, generator: torch.Generator) -> nn.Module:
    """A copy of `model` with a fresh classifier for `classes`, drawn as torch fills a new one."""
    copied = copy.deepcopy(model)
    with drawing_from(generator):
        cast(HasClassifier, copied).reset_classifier(classes)
    return copied


def switch_off_dropout_(model: nn.Module) -> None:
    """Set every dropout and stochastic-depth probability of `model` to 0."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(getattr(module, "drop_prob", None), float):  # timm's DropPath and DropBlock
            module.drop_prob = 0.0  # type: ignore[assignment]


def _check_output(model: nn.Module, input_shape: InputShape, classes: int) -> None:
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            shape = tuple(model.eval()(torch.zeros(2, *input_shape, device=device)).shape)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        size = "x".join(str(n) for n in input_shape)
        raise ConfigError(
            f"model: must take images of {size} (channels x height x width), got: {first_line(error)}"
        ) from error
    if shape[:1] != (2,) or shape[-1:] != (classes,) or len(shape) > 3:
        raise ConfigError(
            f"model: must give {classes} numbers per image or place, got an output of {list(shape[1:])}"
        )


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
