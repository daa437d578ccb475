"""Two folders of images in torchvision's layout: one's own source and target task."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.datasets import ImageFolder as TorchvisionImageFolder

from crossweep.data.augment import crop_flip
from crossweep.data.base import AbstractData, Task
from crossweep.data.files import digest
from crossweep.data.splitting import make_task
from crossweep.errors import ConfigError, FieldError
from crossweep.schema import Count, Positive, ProperShare, Seed, Whole

Samples = list[tuple[str, int]]
"""Path and label of every image."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder(AbstractData):
    """Images in `<root>/{train,test}/<class>/`, each cropped to a square, resized and kept in memory.

    Args:
        source_root: folder of the source task.
        target_root: folder of the target task.
        size: height and width that images are resized to [pixel].
        channels: 3 for colour, 1 for grey.
        mean, std: mean and standard deviation of each channel [1] that images are normalised with.
        max_gib: largest memory the decoded images of one task may take [GiB]; a pixel takes `channels` bytes.
        validation: share of each class's training images held out for validation [1], in [0, 1).
        seed: decides which images are held out.
        crop_padding: largest shift of a training image [pixel], >= 0.
        flip: whether half of the training images are mirrored.

    Raises:
        ConfigError: a folder, a class or a readable image is missing, the classes of train and test differ,
            the images do not fit into `max_gib`, or a value is out of range.
    """

    source_root: str
    target_root: str
    size: Count
    channels: Literal[1, 3]
    mean: Sequence[float]
    std: Sequence[Positive]
    max_gib: Positive
    validation: ProperShare
    seed: Seed
    crop_padding: Whole
    flip: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("mean", "std"):
            values = getattr(self, key)
            if len(values) != self.channels:
                rule = f"must hold one number for each of channels={self.channels}"
                raise FieldError(key, f"{rule}, got {list(values)}")

    def source(self) -> Task:
        return self._task("data.source_root", self.source_root)

    def target(self) -> Task:
        return self._task("data.target_root", self.target_root)

    def fingerprint(self) -> dict[str, Any]:
        unused = ("source_root", "target_root", "max_gib")  # where files lie changes no tensor
        shared = {k: v for k, v in asdict(self).items() if k not in unused}
        shared |= {"data": "image_folder", "mean": list(self.mean), "std": list(self.std)}
        source = _digest("data.source_root", self.source_root)
        target = _digest("data.target_root", self.target_root)
        return {"source": {**shared, "files": source}, "target": {**shared, "files": target}}

    def _task(self, key: str, root: str) -> Task:
        (train, names), (test, test_names) = (_samples(key, root, part) for part in ("train", "test"))
        if names != test_names:
            only = sorted(set(names) ^ set(test_names))
            raise ConfigError(
                f"{key}: must hold the same classes in train and test, got {only} in one of them"
            )
        self._check_memory(key, len(train) + len(test))
        return make_task(
            name=Path(root).name,
            train=self._decode(key, train),
            test=self._decode(key, test),
            class_names=names,
            mean=self.mean,
            std=self.std,
            validation=self.validation,
            seed=self.seed,
            augment=crop_flip(self.crop_padding, self.flip),
        )

    def _check_memory(self, key: str, n: int) -> None:
        gib = n * self.channels * self.size**2 / 2**30
        if gib > self.max_gib:
            raise ConfigError(
                f"data.max_gib: must hold the {n} images of {key} at data.size={self.size}, {gib:.3g} GiB,"
                f" got {self.max_gib}: lower data.size or raise data.max_gib"
            )

    def _decode(self, key: str, samples: Samples) -> tuple[Tensor, Tensor]:
        """Images [n, channels, size, size] uint8 and labels [n]."""
        decode = partial(_decode_one, key=key, size=self.size, mode="L" if self.channels == 1 else "RGB")
        # PIL decodes outside Python's lock; of images beyond its limit it would only warn
        with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            pixels = np.stack(list(pool.map(decode, [path for path, _ in samples])))
        images = torch.from_numpy(pixels).view(len(samples), self.size, self.size, self.channels)
        return images.permute(0, 3, 1, 2).contiguous(), torch.tensor([label for _, label in samples])


def _decode_one(path: str, *, key: str, size: int, mode: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        with Image.open(path) as image:
            square = ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.BICUBIC)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        rule = f"must hold images of at most {Image.MAX_IMAGE_PIXELS:,} pixels"
        raise ConfigError(f"{key}: {rule}, got {path}: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:  # PIL's decoders raise all three
        raise ConfigError(f"{key}: must hold readable images, got {path}: {error}") from error
    return np.asarray(square, dtype=np.uint8)


def _samples(key: str, root: str, part: str) -> tuple[Samples, list[str]]:
    """The images of one part with their labels, and the class names."""
    folder = Path(root) / part
    if not folder.is_dir():
        raise ConfigError(f"{key}: must be a folder with train/<class>/ and test/<class>/, missing {folder}")
    try:
        found = TorchvisionImageFolder(str(folder))
    except FileNotFoundError as error:  # no class folder, or one without images
        raise ConfigError(f"{key}: must hold images of every class, got: {error}") from error
    return found.samples, found.classes


def _digest(key: str, root: str) -> str:
    """A hash of every image's path below `root` and its content."""
    found = hashlib.blake2b(digest_size=16)
    for part in ("train", "test"):
        for path, _ in _samples(key, root, part)[0]:
            found.update(f"{Path(path).relative_to(root)}\0{digest(Path(path))}\0".encode())
    return found.hexdigest()
