"""Series and text: what is in the files arrives, in time order, and what is wrong is one line."""

import sys
from pathlib import Path

import pytest
import torch

from crossweep.data.sequences import read_ts
from crossweep.data.text import MOST, embedded
from crossweep.errors import ConfigError
from tests.data import files


def message(option: str, /, **changes: object) -> str:
    with pytest.raises(ConfigError) as error:
        files.load(option, **changes).target()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_series_keep_their_channels_and_times_and_end_at_the_last_column(tmp_path: Path) -> None:
    files.write_sequences(tmp_path, "JapaneseVowels")
    series = read_ts(tmp_path / "JapaneseVowels" / "JapaneseVowels_TRAIN.ts")
    task = files.load("sequences", root=str(tmp_path), validation=0.0, target_classes=[9, 2]).target()
    own = [(values, name) for values, name in series if name in "92"]
    assert task.class_names == ("9", "2") and len(task.train) == len(own) == 20
    for (values, name), image, label in zip(own, task.train.images, task.train.labels, strict=True):
        assert task.class_names[label] == name
        torch.testing.assert_close(image[:, 0, -values.shape[1] :], values)
        before = task.train.normalise(image[None])[0, :, 0, : -values.shape[1]]
        assert before.abs().max() < 1e-5 if before.numel() else values.shape[1] == image.shape[-1]
    # the mean of what is there, without what was filled in
    source = torch.cat([values for values, name in series if name in "1234"], -1)
    torch.testing.assert_close(torch.tensor(task.train.mean), source.mean(-1))


def test_series_of_a_package_that_is_not_there_are_offered_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crossweep.data.sequences.find_spec", lambda name: None)
    assert "pip install 'crossweep[sequences]'" in message("sequences")


def test_the_package_is_looked_for_where_it_keeps_its_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "aeon"
    files.write_sequences(package / "datasets" / "data", "JapaneseVowels")
    (package / "__init__.py").write_text("raise RuntimeError('it need not be imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert files.load("sequences").target().classes == 5
    assert "aeon" not in sys.modules


def test_a_missing_set_and_an_unknown_class_are_named(tmp_path: Path) -> None:
    files.write_sequences(tmp_path, "JapaneseVowels")
    assert "Vowels/Vowels_TRAIN.ts" in message("sequences", root=str(tmp_path), name="Vowels")
    assert "got [10]" in message("sequences", root=str(tmp_path), target_classes=[1, 10])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("@data\n1,2:3:a\n", "line 2 is no series"),
        ("@data\n1,x:3,4:a\n", "could not convert"),
        ("@data\n1,2:a\n1,2:3,4:b\n", "different numbers of channels"),
        ("1,2:3,4:a\n", "no series after @data"),
    ],
)
def test_a_damaged_set_is_one_line(content: str, words: str, tmp_path: Path) -> None:
    files.write_sequences(tmp_path, "JapaneseVowels")
    (tmp_path / "JapaneseVowels" / "JapaneseVowels_TRAIN.ts").write_text(content)
    assert words in message("sequences", root=str(tmp_path))


def test_every_place_of_a_text_is_followed_by_its_label(tmp_path: Path) -> None:
    text = "".join(chr(97 + i * i % 23) for i in range(1000))
    (tmp_path / "mine.txt").write_text(text)
    task = files.load("text", file=str(tmp_path / "mine.txt"), context=10, validation=0.2, test=0.1).target()
    letters = [eval(name) for name in task.class_names]
    parts = (task.train, task.validation, task.test)
    assert [len(part) for part in parts if part is not None] == [71, 18, 10]  # of 99 windows
    read = "".join(letters[int(c)] for part in parts if part for c in part.images.flatten())
    told = "".join(letters[int(c)] for part in parts if part for c in part.labels.flatten())
    assert read == text[:990] and told == text[1:991]
    images, labels = task.train.normalise(task.train.images), task.train.labels
    assert torch.equal(images.long()[:, 0, 0, 1:], labels[:, :-1])


def test_source_and_target_of_the_embedded_text_are_two_stretches_with_the_same_letters() -> None:
    data = files.load("text", characters=4000)
    source, target = data.source(), data.target()
    assert source.class_names == target.class_names
    assert not torch.equal(source.train.images[0], target.train.images[0])
    assert "assert" in embedded() and len(embedded()) > 200_000


def test_texts_that_do_not_do_are_named(tmp_path: Path) -> None:
    assert message("text", file=str(tmp_path / "none.txt")).startswith("data.file: must name a text in UTF-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9" * 400)
    assert message("text", source_file=str(tmp_path / "latin.txt")).startswith("data.source_file: must name")
    (tmp_path / "short.txt").write_text("short")
    assert "got 5 characters" in message("text", file=str(tmp_path / "short.txt"))
    (tmp_path / "many.txt").write_text("".join(chr(300 + i) for i in range(MOST + 1)))
    assert f"at most {MOST} different characters" in message("text", file=str(tmp_path / "many.txt"))
