"""What every data set hands over: two labelled tasks, held in memory as tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from crossweep.errors import ConfigError
from crossweep.schema import Checked

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Random change of a whole batch of images [b, c, h, w]; every draw comes from the given generator."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One labelled set.

    Args:
        images: [n, channels, height, width], uint8 (0..255) or float32.
        labels: [n] int64 in 0..classes-1, or [n, t]: one for every place of a sequence.
        mean: mean of each channel [1], after uint8 images are divided by 255.
        std: standard deviation of each channel [1], same unit.
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        assert self.images.ndim == 4 and self.images.dtype in (torch.uint8, torch.float32)
        assert self.labels.shape[:1] == self.images.shape[:1] and self.labels.dtype == torch.int64
        assert len(self.mean) == len(self.std) == self.images.shape[1]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> int:
        """Number of labels: of samples, or of all places of all sequences."""
        return self.labels.numel()

    def to(self, device: torch.device | str) -> Split:
        """The same set on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def take(self, index: Tensor) -> Split:
        """The samples at `index` [m], in that order."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def normalise(self, images: Tensor) -> Tensor:
        """(pixel - mean) / std per channel, float32 [b, c, h, w]."""
        scale = 1 / 255 if images.dtype == torch.uint8 else 1.0
        # a copy that blocks would wait for all that is still to be computed there
        mean, std = (
            torch.tensor(values).to(images.device, non_blocking=True).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return (images.float() * scale - mean) / std


@dataclass(frozen=True, kw_only=True)
class Task:
    """One classification task.

    The validation split is held out of the training split and may choose things (an epoch, a rate); the test
    split never chooses anything.

    Args:
        name: what tables and file names call it.
        train: the set to train on.
        validation: the set held out of the training set; None when its share is 0.
        test: the set that is only ever reported.
        class_names: one name per label.
        augment: random change of a training batch, None for none. It is never used for evaluation.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split
    class_names: tuple[str, ...]
    augment: Augment | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height, width of one image."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def to(self, device: torch.device | str) -> Task:
        """The same task with all its splits on another device."""
        validation = None if self.validation is None else self.validation.to(device)
        return replace(self, train=self.train.to(device), validation=validation, test=self.test.to(device))


class AbstractData(Checked, ABC):
    """A source task and a target task; a yaml in conf/data names a subclass by `_target_`.

    A subclass is a frozen keyword-only dataclass whose fields are the yaml's keys. It checks every value in
    `__post_init__` (no files needed), reads files in `source` and `target`, and gives the same tensors every
    time. Both tasks share one image shape and one normalisation, that of the source: the network meets the
    target through the eyes it was pretrained with.
    """

    @abstractmethod
    def source(self) -> Task:
        """The task to pretrain on."""

    @abstractmethod
    def target(self) -> Task:
        """The task to fine-tune on."""

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What determines the tensors, as plain JSON values: {"source": {...}, "target": {...}}.

        Caches of pretrained weights hash the first part, caches of baselines both. Files enter with their
        content, so that a file changed in place is noticed.
        """


def batches(
    split: Split,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    augment: Augment | None = None,
    drop_last: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised images float32 [b, c, h, w] and labels [b], on the split's device.

    Order and augmentation are drawn from `generator` alone (order first, then one augmentation per batch), so
    its state before the call determines an epoch, whatever the device. Without a generator the order is the
    split's own.

    Args:
        split: the set to go through once.
        batch_size: samples per batch [1], >= 1.
        generator: source of all draws; None for the split's own order.
        augment: random change of a batch before normalisation; needs a generator.
        drop_last: leave out a last batch of fewer than `batch_size` samples.

    Raises:
        ConfigError: the batch is larger than the set although only whole batches are wanted.
    """
    assert batch_size >= 1
    assert augment is None or generator is not None, "augmentation draws from the caller's generator"
    n = len(split)
    if drop_last and batch_size > n:
        raise ConfigError(
            f"batch_size: must be at most the number of training samples, got {batch_size} > {n}"
        )
    return _batches(split, batch_size, generator, augment, n - n % batch_size if drop_last else n)


def _batches(
    split: Split, batch_size: int, generator: torch.Generator | None, augment: Augment | None, end: int
) -> Iterator[tuple[Tensor, Tensor]]:
    order = None
    if generator is not None:
        order = torch.randperm(len(split), generator=generator, device=generator.device)
        order = order.to(split.labels.device)
    for start in range(0, end, batch_size):
        stop = min(start + batch_size, end)
        index = slice(start, stop) if order is None else order[start:stop]
        images = split.images[index]
        if augment is not None and generator is not None:
            images = augment(images, generator)
        yield split.normalise(images), split.labels[index]
