"""Made data of any size: noisy prototypes whose source and target classes share features."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from crossweep.data.base import AbstractData, Task
from crossweep.data.splitting import make_task
from crossweep.schema import Count, NotNegative, ProperShare, Range, Seed, Share

_GRID = 4  # a feature is a smooth pattern: a random grid of at most this many values a side, interpolated


@dataclass(frozen=True, kw_only=True)
class Synthetic(AbstractData):
    """Sample = prototype of its class + white noise; a prototype is a random mixture of a few smooth
    features.

    The source's prototypes mix the features f_1..f_k. The target's mix the same ones with weight
    sqrt(`shared`) and features of their own with weight sqrt(1 - `shared`): a network that has learnt on the
    source to look along f_1..f_k needs fewer target samples, as long as `shared` is large. Prototypes have
    unit root mean square.

    Args:
        source_classes: number of source classes [1], >= 2.
        target_classes: number of target classes [1], >= 2.
        channels: channels of an image [1], >= 1.
        size: height and width [pixel], >= 2.
        features: number k of features [1], >= 1.
        shared: share of a target prototype's power that lies in the source's features [1], in 0..1.
        noise: standard deviation of the white noise [prototype root mean square], >= 0.
        train_per_class: training samples of each class, the validation samples included [1], >= 2.
        test_per_class: test samples of each class [1], >= 1.
        validation: share of each class's training samples held out for validation [1], in [0, 1).
        seed: decides prototypes, samples and splits.

    Raises:
        ConfigError: a value is out of range.
    """

    source_classes: Annotated[int, Range(least=2)]
    target_classes: Annotated[int, Range(least=2)]
    channels: Count
    size: Annotated[int, Range(least=2)]
    features: Count
    shared: Share
    noise: NotNegative
    train_per_class: Annotated[int, Range(least=2)]
    test_per_class: Count
    validation: ProperShare
    seed: Seed

    def source(self) -> Task:
        return self._task("synthetic source", self.prototypes()[0], stream=1)

    def target(self) -> Task:
        return self._task("synthetic target", self.prototypes()[1], stream=2)

    def fingerprint(self) -> dict[str, Any]:
        keys = {"data": "synthetic", **asdict(self)}
        ignored = {"source": ("target_classes", "shared"), "target": ("source_classes",)}
        return {task: {k: v for k, v in keys.items() if k not in names} for task, names in ignored.items()}

    def prototypes(self) -> tuple[Tensor, Tensor]:
        """Prototypes [classes, channels, size, size] of the source and of the target."""
        source_only, target_only = self._generator(3), self._generator(4)
        common, own = self._features(self._generator(0)), self._features(target_only)
        source = _mix(common, self.source_classes, source_only)
        target = self.shared**0.5 * _mix(common, self.target_classes, target_only)
        return source, target + (1 - self.shared) ** 0.5 * _mix(own, self.target_classes, target_only)

    def _features(self, generator: torch.Generator) -> Tensor:
        side = min(_GRID, self.size)
        coarse = torch.randn(self.features, self.channels, side, side, generator=generator)
        return F.interpolate(coarse, size=(self.size, self.size), mode="bilinear")

    def _generator(self, stream: int) -> torch.Generator:
        # streams of their own: the source stays the same whatever the target's keys are
        return torch.Generator().manual_seed(8 * self.seed + stream)

    def _task(self, name: str, prototypes: Tensor, *, stream: int) -> Task:
        generator = self._generator(stream)
        train = self._samples(prototypes, self.train_per_class, generator)
        test = self._samples(prototypes, self.test_per_class, generator)
        scale = (1 + self.noise**2) ** 0.5  # a pixel's standard deviation over all classes
        return make_task(
            name=name,
            train=train,
            test=test,
            class_names=[str(c) for c in range(len(prototypes))],
            mean=[0.0] * self.channels,
            std=[scale] * self.channels,
            validation=self.validation,
            seed=self.seed,
        )

    def _samples(self, prototypes: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = torch.arange(len(prototypes)).repeat_interleave(n)
        noise = torch.randn(len(labels), *prototypes.shape[1:], generator=generator)
        return prototypes[labels] + self.noise * noise, labels


def _mix(features: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Random mixtures [classes, c, h, w] of features [k, c, h, w], each with root mean square 1."""
    weights = torch.randn(classes, len(features), generator=generator)
    mixed = torch.einsum("nk,kchw->nchw", weights, features)
    return mixed / mixed.square().mean((1, 2, 3), keepdim=True).sqrt()
