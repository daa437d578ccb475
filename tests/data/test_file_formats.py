"""Reading real files: what is in them arrives, and missing or damaged ones are one clear line."""

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from crossweep.data.base import Task
from crossweep.data.idx import read_idx
from crossweep.errors import ConfigError
from tests.data import files


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tiny files for every option."""
    files.write_all(tmp_path, monkeypatch)
    return tmp_path


def load(name: str, root: Path, **changes: Any) -> Task:
    return files.load(name, **(files.places(root)[name] | changes)).target()


def message(name: str, root: Path, **changes: Any) -> str:
    with pytest.raises(ConfigError) as error:
        load(name, root, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_cifar_pixels_and_labels_belong_together(root: Path) -> None:
    chosen = [17, 4, 99]
    task = load("cifar", root, target_classes=chosen, validation=0.0)
    assert task.class_names == ("class 17", "class 4", "class 99")
    assert len(task.train) == len(task.test) == 3 * files.PER_CLASS
    assert task.input_shape == (3, 32, 32)
    for split in (task.train, task.test):
        assert [chosen[y] for y in split.labels.tolist()] == split.images[:, 0, 0, 0].tolist()


def test_cifar_channels_rows_and_columns_keep_their_places(root: Path) -> None:
    entry = pickle.loads((root / "cifar-100-python" / "test").read_bytes())
    index = entry["fine_labels"].index(5)
    task = load("cifar", root, target_classes=[5, 6])
    own = task.test.images[task.test.labels == 0][0]
    assert own.flatten().tolist() == entry["data"][index].tolist()  # red, green, blue planes, rows first


def test_cifar_source_holds_all_ten_classes(root: Path) -> None:
    source = files.load("cifar", root=str(root)).source()
    assert source.classes == 10 and source.name == "CIFAR-10"


@pytest.mark.parametrize(
    ("name", "missing", "names_it"),
    [
        ("cifar", "cifar-100-python/meta", "cifar-100-python/meta"),
        ("cifar", "cifar-100-python/train", "cifar-100-python/train"),
        ("fashion_mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte"),
        ("mnist", "MNIST/raw/train-images-idx3-ubyte.gz", "MNIST/raw/train-images-idx3-ubyte"),
    ],
)
def test_a_missing_file_is_named_with_the_remedy(name: str, missing: str, names_it: str, root: Path) -> None:
    (root / missing).unlink()
    text = message(name, root)
    assert names_it in text and "data.root" in text and "data.download=true" in text


@pytest.mark.parametrize("damaged", ["cifar-100-python/train", "FashionMNIST/raw/train-images-idx3-ubyte.gz"])
def test_a_damaged_file_is_one_line(damaged: str, root: Path) -> None:
    file = root / damaged
    file.write_bytes(file.read_bytes()[:-1000])
    name = "cifar" if "cifar" in damaged else "fashion_mnist"
    assert "data.root: must hold undamaged files" in message(name, root)


def test_missing_files_are_fetched_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(dataset: CIFAR10) -> None:
        files.write_cifar(Path(dataset.root), monkeypatch)

    monkeypatch.setattr(CIFAR10, "download", download)
    data = files.load("cifar", root=str(tmp_path), download=True)
    before = data.fingerprint()
    assert data.target().classes == 10
    assert data.fingerprint() == before, "the fingerprint was taken before the files were there"


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(dataset: CIFAR10) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(CIFAR10, "download", download)
    assert "no route to host" in message("cifar", tmp_path, download=True)


def test_plain_and_gzipped_idx_files_are_the_same(tmp_path: Path) -> None:
    for folder, packed in (("gz", True), ("plain", False)):
        files.write_idx(tmp_path / folder, "MNIST", packed=packed)
    first, second = (load("mnist", tmp_path / folder) for folder in ("gz", "plain"))
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)


@pytest.mark.parametrize(
    ("name", "words"), [("fashion_mnist", ("Ankle boot", "Pullover")), ("mnist", ("9 - nine", "2 - two"))]
)
def test_pixels_and_labels_of_idx_files_belong_together(
    name: str, words: tuple[str, str], root: Path
) -> None:
    task = load(name, root, target_classes=[9, 2])
    assert task.class_names == words
    assert [[9, 2][y] for y in task.train.labels.tolist()] == task.train.images[:, 0, 0, 0].tolist()
    assert task.input_shape == (1, 28, 28)


def test_idx_header_is_read_in_big_endian_order(tmp_path: Path) -> None:
    file = tmp_path / "a.gz"
    file.write_bytes(gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])))
    assert read_idx(file).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("content", [b"", b"\0\0\x0d\1\0\0\0\0", b"\0\0\x08\1\0\0\0\5abc"], ids=repr)
def test_what_is_no_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=r"idx file|after its header"):
        read_idx(tmp_path / "a")


def test_images_of_folders_arrive_unchanged_at_their_own_size(root: Path) -> None:
    task = load("image_folder", root, validation=0.0)
    assert task.class_names == ("crow", "duck", "wren") and task.name == "birds"
    with Image.open(root / "birds" / "train" / "crow" / "0.png") as image:
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(task.train.images[0], expected)


def test_grey_images_of_folders_have_one_channel(root: Path) -> None:
    task = load("image_folder", root, channels=1, mean=[0.5], std=[0.5])
    assert task.input_shape == (1, 12, 12)


def test_wide_images_are_cropped_in_the_middle_before_resizing(tmp_path: Path) -> None:
    stripes = np.zeros((4, 12, 3), dtype=np.uint8)
    stripes[:, 4:8] = 200  # the middle square
    for part in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for i in range(2):
                Image.fromarray(stripes).save(folder / f"{i}.png")
    task = load("image_folder", tmp_path, target_root=str(tmp_path), size=4, validation=0.0)
    assert task.train.images.unique().tolist() == [200]


def test_a_missing_folder_is_named(root: Path) -> None:
    assert "data.target_root" in message("image_folder", root, target_root=str(root / "fish"))


def test_classes_of_train_and_test_must_agree(root: Path) -> None:
    (root / "birds" / "test" / "wren").rename(root / "birds" / "test" / "kiwi")
    text = message("image_folder", root)
    assert "data.target_root" in text and "['kiwi', 'wren']" in text


def test_an_empty_class_is_an_error(root: Path) -> None:
    for file in (root / "birds" / "train" / "wren").iterdir():
        file.unlink()
    assert "wren" in message("image_folder", root)


def test_an_unreadable_image_is_named(root: Path) -> None:
    (root / "birds" / "train" / "wren" / "3.png").write_bytes(b"not an image")
    assert "3.png" in message("image_folder", root)


def test_images_that_do_not_fit_the_memory_are_an_error(root: Path) -> None:
    needed = 2 * 3 * files.PER_CLASS * 3 * 12 * 12 / 2**30
    assert "data.max_gib" in message("image_folder", root, max_gib=0.99 * needed)
    assert load("image_folder", root, max_gib=needed).classes == 3


@pytest.mark.parametrize(
    "name", ["cifar", "cifar_second", "fashion_mnist", "mnist", "image_folder", "sequences"]
)
def test_a_file_changed_in_place_changes_the_fingerprint(name: str, root: Path) -> None:
    data = files.load(name, **files.places(root)[name])
    before = data.fingerprint()
    assert data.fingerprint() == before
    changed = {
        "cifar": "cifar-100-python/train",
        "cifar_second": "cifar-100-python/train",
        "image_folder": "birds/**/*.png",
        "mnist": "MNIST/raw/*",
        "fashion_mnist": "FashionMNIST/raw/*",
        "sequences": "JapaneseVowels/*",
    }
    path = sorted(root.glob(changed[name]))[0]
    content = bytearray(path.read_bytes())
    content[-2] ^= 1  # the size stays
    path.write_bytes(content)
    after = data.fingerprint()
    assert after["target"] != before["target"]
    if "mnist" not in name and name != "sequences":  # both tasks share their files
        assert after["source"] == before["source"]


@pytest.mark.parametrize("pixels", [100, 60])
def test_an_image_of_too_many_pixels_is_named(
    pixels: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 12 x 12 of 144 pixels; PIL warns beyond its limit and raises beyond twice that
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    text = message("image_folder", root)
    assert text.startswith(f"data.target_root: must hold images of at most {pixels} pixels, got ")
    assert str(root / "birds" / "train") in text and "\n" not in text


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_damaged_image_is_named(content: bytes, root: Path) -> None:
    (root / "birds" / "train" / "crow" / "0.png").write_bytes(content)
    text = message("image_folder", root)
    assert text.startswith("data.target_root: must hold readable images, got ") and "0.png" in text
