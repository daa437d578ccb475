"""Tiny files in the data sets' own formats, and every data option of the configuration reading them."""

import gzip
import hashlib
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from sklearn import datasets as _datasets  # noqa: F401  (its import draws from the global generator)
from torchvision.datasets import CIFAR10, CIFAR100

from crossweep.data.base import AbstractData
from crossweep.nodes import make
from crossweep.paths import conf_dir, version_base

NAMES = sorted(p.stem for p in (conf_dir() / "data").glob("*.yaml") if p.stem[0] != "_")
PER_CLASS = 10  # samples of each class and part


@cache
def settings(name: str) -> dict[str, Any]:
    """The composed keys of one option."""
    with initialize_config_dir(str(conf_dir()), **version_base()):
        content = OmegaConf.to_container(compose(overrides=[f"+data={name}"]).data)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def load(name: str, /, **changes: Any) -> AbstractData:
    """The data set of one option with some keys changed."""
    data = make(settings(name) | changes, "data")
    assert isinstance(data, AbstractData)
    return data


def places(root: Path) -> dict[str, dict[str, Any]]:
    """For every option that reads files: the keys that make it read those `write_all` wrote."""
    folder = {"root": str(root)}
    images = {"source_root": str(root / "pets"), "target_root": str(root / "birds"), "size": 12}
    return {
        **dict.fromkeys(("cifar", "cifar_second", "fashion_mnist", "mnist", "sequences"), folder),
        "image_folder": images,
    }


def write_all(root: Path, patch: pytest.MonkeyPatch) -> None:
    """The files of every option below `root`."""
    write_cifar(root, patch)
    write_idx(root, "FashionMNIST")
    write_idx(root, "MNIST")
    for name in ("JapaneseVowels", "Other"):
        write_sequences(root, name)
    write_image_folder(root / "pets", ["cat", "dog"])
    write_image_folder(root / "birds", ["crow", "duck", "wren"])


def write_cifar(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Both CIFAR sets as pickles; torchvision is told these files' checksums instead of the real ones."""
    ten = [f"data_batch_{i}" for i in range(1, 6)]
    _write_pickles(root, patch, CIFAR10, ten, ["test_batch"], "labels", 10)
    _write_pickles(root, patch, CIFAR100, ["train"], ["test"], "fine_labels", 100)


def _write_pickles(
    root: Path,
    patch: pytest.MonkeyPatch,
    dataset: Any,
    train: list[str],
    test: list[str],
    label_key: str,
    classes: int,
) -> None:
    rng = np.random.default_rng(classes)
    names = [f"class {i}" for i in range(classes)]
    coarse = rng.integers(
        0, 192, (classes, 3, 4, 4), dtype=np.uint8
    )  # what a class looks like, so that networks can learn
    looks = coarse.repeat(8, axis=2).repeat(8, axis=3).reshape(classes, 3072)
    meta, sums = dataset.meta["filename"], {}

    def dump(file: str, entry: dict[str, Any]) -> None:
        path = root / dataset.base_folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(entry))
        sums[file] = hashlib.md5(path.read_bytes()).hexdigest()

    for files in (train, test):
        labels = rng.permutation(np.arange(classes).repeat(PER_CLASS))
        for file, part in zip(files, np.split(labels, len(files)), strict=True):
            pixels = looks[part] + rng.integers(0, 64, (len(part), 3072), dtype=np.uint8)
            pixels[:, 0] = part  # the first red pixel shows the class
            dump(file, {"data": pixels, label_key: part.tolist()})
    dump(meta, {dataset.meta["key"]: names})
    patch.setattr(dataset, "train_list", [[file, sums[file]] for file in train])
    patch.setattr(dataset, "test_list", [[file, sums[file]] for file in test])
    patch.setattr(dataset, "meta", dataset.meta | {"md5": sums[meta]})


def write_idx(root: Path, name: str, *, packed: bool = True) -> None:
    """A data set of torchvision's as idx files, gzipped where `packed`; the first pixel shows the class."""
    rng = np.random.default_rng(0)
    raw = root / name / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        labels = rng.permutation(np.arange(10).repeat(PER_CLASS)).astype(np.uint8)
        images = rng.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
        images[:, 0, 0] = labels
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            file = raw / f"{part}-{kind}-ubyte"
            if packed:
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(content))
            else:
                file.write_bytes(content)


def write_image_folder(root: Path, classes: list[str], *, side: int = 12) -> None:
    """Folders of colour PNG images."""
    rng = np.random.default_rng(len(classes))
    for part in ("train", "test"):
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(PER_CLASS):
                Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(
                    folder / f"{i}.png"
                )


def write_sequences(root: Path, name: str) -> None:
    """Nine classes of series as `.ts` files, 3 channels, 4 to 9 times; the first channel is about the class modulo 5."""
    rng = np.random.default_rng(len(name))
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("TRAIN", "TEST"):
        lines = ["# made up", f"@problemName {name}", "@classLabel true 1 2 3 4 5 6 7 8 9", "@data"]
        for label in rng.permutation(np.arange(1, 10).repeat(PER_CLASS)):
            values = rng.normal(size=(3, int(rng.integers(4, 10)))).round(4)
            values[0] += label % 5
            lines.append(
                ":".join([*(",".join(map(str, channel)) for channel in values.tolist()), str(label)])
            )
        (folder / f"{name}_{part}.ts").write_text("\n".join(lines) + "\n")
