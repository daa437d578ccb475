"""Class selections, stratified hold-outs and channel statistics shared by the data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from crossweep.data.base import Augment, Split, Task
from crossweep.errors import ConfigError


def select_classes(images: Tensor, labels: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The samples of `classes`, their labels renumbered by position in that list.

    Args:
        images: [n, ...].
        labels: [n] original class numbers.
        classes: the classes to keep, in the order of their new numbers.
    """
    table = torch.full((int(labels.max().item()) + 1,), -1, dtype=torch.int64)
    for new, old in enumerate(classes):
        if old < len(table):  # a class without samples lies beyond the table or keeps none
            table[old] = new
    renumbered = table[labels]
    keep = renumbered >= 0
    return images[keep], renumbered[keep]


def hold_out(labels: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of the samples kept and held out, the same share of every class (stratified).

    Every class holds out round(share n) samples, at least one when `share` > 0, and keeps at least one.

    Args:
        labels: [n].
        share: share of each class to hold out [1], in [0, 1).
        generator: decides which samples.

    Returns:
        kept [n - m] and held out [m], both in ascending order.

    Raises:
        ConfigError: a class has too few samples to be on both sides.
    """
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().squeeze(1)
        order = members[torch.randperm(len(members), generator=generator)]
        n = max(1, math.floor(share * len(members) + 0.5)) if share > 0 else 0
        if n >= len(members):
            raise ConfigError(
                f"data.validation: must leave samples of every class on both sides, got {share:g} of"
                f" {len(members)} of class {label}"
            )
        held[order[:n]] = True
    return (~held).nonzero().squeeze(1), held.nonzero().squeeze(1)


def make_task(
    *,
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    class_names: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    validation: float,
    seed: int,
    augment: Augment | None = None,
) -> Task:
    """A task whose validation split is held out of the training samples, stratified, by `seed`.

    Args:
        train, test: images [n, c, h, w] and labels [n] in 0..classes-1.
        validation: share of the training samples to hold out [1], in [0, 1).
        seed: decides which training samples are held out.
    """

    def split(images: Tensor, labels: Tensor) -> Split:
        return Split(images=images, labels=labels, mean=tuple(mean), std=tuple(std))

    for part, labels in (("training", train[1]), ("test", test[1])):
        found = torch.bincount(labels, minlength=len(class_names))
        empty = [class_names[i] for i in (found == 0).nonzero().squeeze(1).tolist()]
        if empty:
            raise ConfigError(f"data: every class of {name} must have {part} samples, got none of {empty}")
    whole = split(*train)
    kept, held = hold_out(whole.labels, validation, torch.Generator().manual_seed(seed))
    return Task(
        name=name,
        train=whole if validation == 0 else whole.take(kept),
        validation=whole.take(held) if validation > 0 else None,
        test=split(*test),
        class_names=tuple(class_names),
        augment=augment,
    )


def channel_stats(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel [1] of images [n, c, h, w], uint8 counted as 0..1.

    A channel without any spread gets the standard deviation 1, so that normalising it gives zeros.
    """
    scale = 1 / 255 if images.dtype == torch.uint8 else 1.0
    n = images.numel() / images.shape[1]
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    square = torch.zeros_like(total)
    for chunk in images.split(1024):  # a float copy of a whole data set could exhaust the memory
        values = chunk.double() * scale
        total += values.sum((0, 2, 3))
        square += (values * values).sum((0, 2, 3))
    mean = total / n
    std = (square / n - mean * mean).clamp_min(0).sqrt()
    std = torch.where(std > 1e-6, std, torch.ones_like(std))
    return tuple(mean.tolist()), tuple(std.tolist())
