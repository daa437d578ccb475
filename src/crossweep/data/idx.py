"""Sets of ten kinds of 28x28 grey images in idx files, MNIST's own format; some kinds are the source, others the target."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import MNIST

from crossweep.data.augment import crop_flip
from crossweep.data.base import AbstractData, Task
from crossweep.data.checks import Classes
from crossweep.data.files import file_digests, read, require_files
from crossweep.data.splitting import make_task, select_classes
from crossweep.schema import ProperShare, Seed, Whole


@dataclass(frozen=True, kw_only=True)
class IdxData(AbstractData):
    """60,000 + 10,000 labelled images in four idx files, plain or gzipped, where torchvision puts them.

    Args:
        root: folder that holds `<name>/raw` (torchvision's layout), `<name>` the data set's.
        download: fetch missing files into `root` first.
        source_classes: kinds to pretrain on, 0..9.
        target_classes: kinds to fine-tune on, 0..9.
        validation: share of each class's training images held out for validation [1], in [0, 1).
        seed: decides which images are held out.
        crop_padding: largest shift of a training image [pixel], >= 0.
        flip: whether half of the training images are mirrored.

    Raises:
        ConfigError: a class list is empty, out of range or names a class twice; a value is out of range; a
            file is missing.
    """

    dataset: ClassVar[type[MNIST]]
    title: ClassVar[str]
    mean: ClassVar[tuple[float]]
    std: ClassVar[tuple[float]]

    root: str
    download: bool
    source_classes: Classes
    target_classes: Classes
    validation: ProperShare
    seed: Seed
    crop_padding: Whole
    flip: bool

    def source(self) -> Task:
        return self._task(f"{self.title} source", self.source_classes)

    def target(self) -> Task:
        return self._task(f"{self.title} target", self.target_classes)

    def fingerprint(self) -> dict[str, Any]:
        shared = {
            "data": self.dataset.__name__,
            "validation": self.validation,
            "seed": self.seed,
            "crop_padding": self.crop_padding,
            "flip": self.flip,
            "files": file_digests(self._require()),
        }
        return {
            "source": {**shared, "source_classes": list(self.source_classes)},
            "target": {**shared, "target_classes": list(self.target_classes)},
        }

    def _require(self) -> list[Path]:
        """Training images, training labels, test images, test labels: plain idx files or their .gz."""
        raw = Path(self.root) / self.dataset.__name__ / "raw"
        packed = [raw / name for name, _ in self.dataset.resources]
        plain = [file.with_suffix("") for file in packed]
        files = [
            gz if gz.is_file() and not idx.is_file() else idx for gz, idx in zip(packed, plain, strict=True)
        ]
        require_files(files, fetch=self._fetch if self.download else None)
        return files

    def _fetch(self) -> object:
        return self.dataset(self.root, download=True)

    def _task(self, name: str, classes: Sequence[int]) -> Task:
        images, labels, test_images, test_labels = (read(partial(read_idx, f)) for f in self._require())
        return make_task(
            name=name,
            train=select_classes(images.unsqueeze(1), labels.long(), classes),
            test=select_classes(test_images.unsqueeze(1), test_labels.long(), classes),
            class_names=[self.dataset.classes[c] for c in classes],
            mean=self.mean,
            std=self.std,
            validation=self.validation,
            seed=self.seed,
            augment=crop_flip(self.crop_padding, self.flip),
        )


def read_idx(path: Path) -> Tensor:
    """The uint8 array of an idx file, plain or gzipped: magic 000008, dimensions, big-endian sizes, bytes.

    Raises:
        ValueError: it is not such a file, or it is cut off.

    Source: Y. LeCun, C. Cortes and C. Burges, The MNIST database, file format.
    """
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an idx file of bytes")
    dims, start = raw[3], 4 + 4 * raw[3]
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims)]
    if len(raw) != start + prod(shape):
        raise ValueError(f"{path} must hold {prod(shape)} bytes after its header, got {len(raw) - start}")
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape).copy())
