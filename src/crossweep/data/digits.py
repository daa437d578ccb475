"""Handwritten digits that ship with scikit-learn: a real transfer task that needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from crossweep.data.base import AbstractData, Task
from crossweep.data.checks import Classes
from crossweep.data.splitting import channel_stats, hold_out, make_task, select_classes
from crossweep.schema import ProperShare, Range, Seed


@dataclass(frozen=True, kw_only=True)
class Digits(AbstractData):
    """1797 grey images of 8x8 pixels, about 180 of each digit; some digits are the source, others the target.

    Args:
        source_classes: digits to pretrain on.
        target_classes: digits to fine-tune on.
        test: share of each digit's images in the test split [1], in (0, 1).
        validation: share of each digit's remaining images held out for validation [1], in [0, 1).
        seed: decides which images are in which split.

    Raises:
        ConfigError: a class list is empty, out of range or has a digit twice; a share is out of range.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
        Repository, 1998, test part, as `sklearn.datasets.load_digits`.
    """

    source_classes: Classes
    target_classes: Classes
    test: Annotated[float, Range(above=0, below=1)]
    validation: ProperShare
    seed: Seed

    def source(self) -> Task:
        return self._task("digits source", self.source_classes)

    def target(self) -> Task:
        return self._task("digits target", self.target_classes)

    def fingerprint(self) -> dict[str, Any]:
        shared = {"data": "digits", "test": self.test, "validation": self.validation, "seed": self.seed}
        # the source classes decide the normalisation of the target as well
        source = {**shared, "source_classes": list(self.source_classes)}
        return {"source": source, "target": {**source, "target_classes": list(self.target_classes)}}

    def _task(self, name: str, classes: Sequence[int]) -> Task:
        train, test = self._halves()
        mean, std = channel_stats(select_classes(*train, self.source_classes)[0])
        return make_task(
            name=name,
            train=select_classes(*train, classes),
            test=select_classes(*test, classes),
            class_names=[str(c) for c in classes],
            mean=mean,
            std=std,
            validation=self.validation,
            seed=self.seed,
        )

    def _halves(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Training and test images [n, 1, 8, 8] in 0..1 with the digits [n] they show."""
        from sklearn.datasets import load_digits  # takes seconds, and ``--help`` only describes the class

        raw = load_digits()
        images = torch.tensor(raw.images, dtype=torch.float32).unsqueeze(1) / 16  # 17 grey levels, 0..16
        labels = torch.tensor(raw.target, dtype=torch.int64)
        # all ten digits are split together: the test images of a digit do not depend on the class lists
        kept, held = hold_out(labels, self.test, torch.Generator().manual_seed(self.seed))
        return (images[kept], labels[kept]), (images[held], labels[held])
