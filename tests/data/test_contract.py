"""What every data option of the configuration must do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from crossweep.data.base import AbstractData, Task, batches
from crossweep.errors import ConfigError
from tests.data import files
from tests.tables import entry

CHANGES: dict[str, dict[str, Any]] = {  # another value of every key
    "digits": {
        "source_classes": [0, 1, 2],
        "target_classes": [9, 8],
        "test": 0.5,
        "validation": 0.2,
        "seed": 1,
    },
    "cifar": {"target_classes": [3, 99], "validation": 0.2, "seed": 1, "crop_padding": 1, "flip": False},
    "fashion_mnist": {
        "source_classes": [0, 9],
        "target_classes": [7, 6],
        "validation": 0.2,
        "seed": 1,
        "crop_padding": 0,
        "flip": False,
    },
    "image_folder": {
        "size": 6,
        "channels": 1,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.1, 0.2, 0.3],
        "validation": 0.2,
        "seed": 1,
        "crop_padding": 0,
        "flip": False,
    },
    "synthetic": {
        "source_classes": 3,
        "target_classes": 3,
        "channels": 2,
        "size": 6,
        "features": 4,
        "shared": 0.5,
        "noise": 0.5,
        "train_per_class": 40,
        "test_per_class": 40,
        "validation": 0.2,
        "seed": 1,
    },
}
CHANGES["cifar_second"] = CHANGES["cifar"]
CHANGES["sequences"] = {
    "name": "Other",
    "source_classes": [1, 3],
    "target_classes": ["9", "2"],
    "validation": 0.4,
    "seed": 1,
}
CHANGES["text"] = {
    "file": __file__,
    "source_file": files.__file__,
    "context": 20,
    "characters": 5000,
    "test": 0.3,
    "validation": 0.3,
}
CHANGES["mnist"] = CHANGES["fashion_mnist"] | {"crop_padding": 1, "flip": True}
NEEDS = {("image_folder", "channels"): {"mean": [0.5], "std": [0.5]}}  # keys that have to change together
ELSEWHERE = {"_target_", "root", "source_root", "target_root", "download", "max_gib"}  # change no tensor


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with tiny files for every option."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        files.write_all(folder, patch)
        yield folder


def load(name: str, root: Path, /, **changes: Any) -> AbstractData:
    return files.load(name, **(files.places(root).get(name, {}) | changes))


def tensors(task: Task) -> list[Tensor]:
    """All a run can see of a task: every split in order and one augmented epoch."""
    generator = torch.Generator().manual_seed(0)
    splits = [s for s in (task.train, task.validation, task.test) if s is not None]
    seen = [x for s in splits for batch in batches(s, 64) for x in batch]
    epoch = batches(task.train, 64, generator=generator, augment=task.augment)
    return seen + [x for batch in epoch for x in batch]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", files.NAMES)
def test_every_task_is_whole(name: str, root: Path) -> None:
    data = load(name, root)
    for task in (data.source(), data.target()):
        assert task.validation is not None
        for split in (task.train, task.validation, task.test):
            assert split.images.shape[1:] == task.input_shape
            found = split.labels.unique().tolist()
            if name == "text":  # a stretch of a text need not have every character
                assert set(found) <= set(range(task.classes)) and len(found) > task.classes / 3
            else:
                assert found == list(range(task.classes))
        assert len(set(task.class_names)) == task.classes
        images, labels = next(batches(task.train, 8))
        assert images.dtype == torch.float32 and labels.dtype == torch.int64
    assert data.source().input_shape == data.target().input_shape


@pytest.mark.parametrize("name", files.NAMES)
def test_same_settings_give_the_same_bits(name: str, root: Path) -> None:
    for read in (AbstractData.source, AbstractData.target):
        first, second = load(name, root), load(name, root)
        tasks = [getattr(data, read.__name__)() for data in (first, second)]
        assert same(tensors(tasks[0]), tensors(tasks[1]))
        assert tasks[0].class_names == tasks[1].class_names
        assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize("name", files.NAMES)
def test_without_a_share_nothing_is_held_out(name: str, root: Path) -> None:
    whole, parted = load(name, root, validation=0.0).target(), load(name, root).target()
    assert whole.validation is None and parted.validation is not None
    assert len(whole.train) == len(parted.train) + len(parted.validation)
    # the held-out samples and the kept ones are the whole
    key = torch.cat([parted.train.images, parted.validation.images]).flatten(1).double()
    weights = torch.rand(key.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mixed, expected = key @ weights, whole.train.images.flatten(1).double() @ weights
    torch.testing.assert_close(mixed.sort().values, expected.sort().values)
    assert torch.equal(whole.test.images, parted.test.images), "the validation share moved the test split"


@pytest.mark.parametrize("name", files.NAMES)
def test_table_of_changes_names_every_key(name: str) -> None:
    changes = entry(
        CHANGES, name, "CHANGES in tests/data/test_contract.py", "another value of each of its keys"
    )
    assert set(changes) == set(files.settings(name)) - ELSEWHERE


@pytest.mark.parametrize(("name", "key"), [(n, k) for n in files.NAMES for k in CHANGES.get(n, ())])
def test_every_key_changes_a_task_and_its_fingerprint(name: str, key: str, root: Path) -> None:
    change = {key: CHANGES[name][key]} | NEEDS.get((name, key), {})
    before, after = load(name, root), load(name, root, **change)
    prints = before.fingerprint(), after.fingerprint()
    kept = {}
    for part in ("source", "target"):
        kept[part] = same(*(tensors(getattr(data, part)()) for data in (before, after)))
        equal = prints[0][part] == prints[1][part]
        assert equal == kept[part], f"fingerprint of the {part} {'kept' if equal else 'changed'}"
    assert not all(kept.values()), f"data.{key} does nothing"


@pytest.mark.parametrize("name", files.NAMES)
def test_fingerprint_is_plain(name: str, root: Path) -> None:
    fingerprint = load(name, root).fingerprint()
    assert json.loads(json.dumps(fingerprint)) == fingerprint
    assert set(fingerprint) == {"source", "target"}
    assert str(root) not in json.dumps(fingerprint), "moving the files would miss the cache"


@pytest.mark.parametrize(
    ("names", "changes", "key"),
    [
        (["digits", "cifar", "fashion_mnist", "mnist"], {"target_classes": []}, "data.target_classes"),
        (["digits", "cifar", "fashion_mnist", "mnist"], {"target_classes": [1]}, "data.target_classes"),
        (["digits", "cifar", "fashion_mnist", "mnist"], {"target_classes": [0, 100]}, "data.target_classes"),
        (["digits", "cifar", "fashion_mnist", "mnist"], {"target_classes": [0, -1]}, "data.target_classes"),
        (["digits", "cifar", "fashion_mnist", "mnist"], {"target_classes": [3, 4, 3]}, "data.target_classes"),
        (["digits", "cifar", "fashion_mnist", "mnist"], {"target_classes": 3}, "data.target_classes"),
        (["digits", "cifar", "fashion_mnist", "mnist"], {"target_classes": "0,1"}, "data.target_classes"),
        (["digits", "cifar", "fashion_mnist", "mnist"], {"target_classes": [0.5, 1]}, "data.target_classes"),
        (["digits", "fashion_mnist", "mnist"], {"source_classes": [0, 10]}, "data.source_classes"),
        (["digits"], {"test": 0.0}, "data.test"),
        (["synthetic"], {"target_classes": 1}, "data.target_classes"),
        (["synthetic"], {"shared": 1.5}, "data.shared"),
        (["synthetic"], {"noise": -1.0}, "data.noise"),
        (["synthetic"], {"noise": float("nan")}, "data.noise"),
        (["image_folder"], {"size": 0}, "data.size"),
        (["image_folder"], {"channels": 2}, "data.channels"),
        (["image_folder"], {"mean": [0.5]}, "data.mean"),
        (["image_folder"], {"std": [0.5, 0.0, 0.5]}, "data.std"),
        (["image_folder"], {"max_gib": "much"}, "data.max_gib"),
        (["cifar", "fashion_mnist", "mnist", "image_folder"], {"crop_padding": -1}, "data.crop_padding"),
        (["cifar", "fashion_mnist", "mnist", "image_folder"], {"flip": "sometimes"}, "data.flip"),
        (["cifar", "fashion_mnist", "mnist"], {"download": "please"}, "data.download"),
        (files.NAMES, {"validation": 1.0}, "data.validation"),
        (files.NAMES, {"validation": -0.1}, "data.validation"),
        (files.NAMES, {"validation": "half"}, "data.validation"),
        ([name for name in files.NAMES if "seed" in files.settings(name)], {"seed": -1}, "data.seed"),
        (["text"], {"context": 0}, "data.context"),
        (["sequences"], {"target_classes": [1]}, "data.target_classes"),
    ],
    ids=str,
)
def test_a_bad_value_is_one_line_with_its_key(names: list[str], changes: dict[str, Any], key: str) -> None:
    for name in names:
        with pytest.raises(ConfigError) as error:
            files.load(name, **changes)  # without any files: the rule is checked before they are looked for
        assert str(error.value).startswith(f"{key}: must ") and "\n" not in str(error.value)


def test_a_share_that_leaves_a_class_empty_is_an_error(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.validation: "):
        load("cifar", root, validation=0.99).target()
