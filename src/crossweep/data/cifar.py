"""CIFAR-10 as source, some classes of CIFAR-100 as target: the transfer task of the reference work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100

from crossweep.data.augment import crop_flip
from crossweep.data.base import AbstractData, Task
from crossweep.data.files import file_digests, read, require_files
from crossweep.data.splitting import make_task, select_classes
from crossweep.schema import Items, ProperShare, Range, Seed, Whole

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Channel mean and standard deviation [1] of CIFAR-10's training images, the values in common use."""


@dataclass(frozen=True, kw_only=True)
class Cifar(AbstractData):
    """32x32 colour images: 5000 + 1000 of each of CIFAR-10's ten classes, 500 + 100 of each CIFAR-100 class.

    Args:
        root: folder that holds `cifar-10-batches-py` and `cifar-100-python` (torchvision's layout).
        download: fetch missing files into `root` first.
        target_classes: fine labels of CIFAR-100 to fine-tune on.
        validation: share of each class's training images held out for validation [1], in [0, 1).
        seed: decides which images are held out.
        crop_padding: largest shift of a training image [pixel], >= 0.
        flip: whether half of the training images are mirrored.

    Raises:
        ConfigError: the class list is empty, out of range or names a class twice; a value is out of range; a
            file is missing or damaged.

    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    root: str
    download: bool
    target_classes: Annotated[
        Sequence[Annotated[int, Range(least=0, most=99)]], Items(least=2, distinct=True)
    ]
    validation: ProperShare
    seed: Seed
    crop_padding: Whole
    flip: bool

    def source(self) -> Task:
        return self._task("CIFAR-10", CIFAR10, range(10))

    def target(self) -> Task:
        return self._task("CIFAR-100 classes", CIFAR100, self.target_classes)

    def fingerprint(self) -> dict[str, Any]:
        shared = {
            "validation": self.validation,
            "seed": self.seed,
            "crop_padding": self.crop_padding,
            "flip": self.flip,
        }
        source = {**shared, "data": "cifar10", "files": file_digests(self._require(CIFAR10))}
        target = {**shared, "data": "cifar100", "files": file_digests(self._require(CIFAR100))}
        return {"source": source, "target": {**target, "target_classes": list(self.target_classes)}}

    def _require(self, dataset: Any) -> list[Path]:
        """The files of `dataset`, all of them present."""
        folder = Path(self.root) / dataset.base_folder
        names = [dataset.meta["filename"], *(name for name, _ in dataset.train_list + dataset.test_list)]
        files = [folder / name for name in names]
        require_files(files, fetch=partial(dataset, self.root, download=True) if self.download else None)
        return files

    def _task(self, name: str, dataset: Any, classes: Sequence[int]) -> Task:
        self._require(dataset)
        train, test = (read(partial(dataset, self.root, train=part)) for part in (True, False))
        return make_task(
            name=name,
            train=_chosen(train, classes),
            test=_chosen(test, classes),
            class_names=[train.classes[c] for c in classes],
            mean=MEAN,
            std=STD,
            validation=self.validation,
            seed=self.seed,
            augment=crop_flip(self.crop_padding, self.flip),
        )


def _chosen(raw: CIFAR10, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images [n, 3, 32, 32] uint8 of `classes` and their new labels [n]."""
    images, labels = select_classes(torch.from_numpy(raw.data), torch.tensor(raw.targets), classes)
    return images.permute(0, 3, 1, 2).contiguous(), labels
