"""Classes of time series: some are the source, others the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from crossweep.data.base import AbstractData, Task
from crossweep.data.files import file_digests, read
from crossweep.data.splitting import make_task, select_classes
from crossweep.errors import ConfigError
from crossweep.schema import Items, ProperShare, Seed

Series = tuple[Tensor, str]
"""Values [channels, times] and the name of the class."""


@dataclass(frozen=True, kw_only=True)
class Sequences(AbstractData):
    """Series of one of the sets that the package aeon brings with it, or of files in its format, `.ts`.

    A series is an image of height 1 whose columns are times. Shorter ones than the longest are filled up at their beginning
    with the mean of each channel, which is zero to the network.

    Args:
        name: of the set; files are `<name>/<name>_TRAIN.ts` and `<name>/<name>_TEST.ts`.
        root: folder that holds them; None: that of aeon.
        source_classes: names of the classes to pretrain on.
        target_classes: names of the classes to fine-tune on.
        validation: share of each class's training series held out for validation [1], in [0, 1).
        seed: decides which series are held out.

    Raises:
        ConfigError: a class list is too short or names a class twice or one that is not there; files are missing or
            damaged; aeon is not installed.

    Source: M. Kudo, J. Toyama and M. Shimbo, Pattern Recognit. Lett. 20:1103 (1999) (JapaneseVowels); M. Middlehurst et
        al., aeon: a Python toolkit for learning from time series, J. Mach. Learn. Res. 25:289 (2024).
    """

    name: str
    root: str | None
    source_classes: Annotated[Sequence[str | int], Items(least=2, distinct=True)]
    target_classes: Annotated[Sequence[str | int], Items(least=2, distinct=True)]
    validation: ProperShare
    seed: Seed

    def source(self) -> Task:
        return self._task("source", self.source_classes)

    def target(self) -> Task:
        return self._task("target", self.target_classes)

    def fingerprint(self) -> dict[str, Any]:
        files = file_digests(self._files())
        # the source classes decide the normalisation of the target as well
        source = {
            **{"data": "sequences", "files": files, "validation": self.validation, "seed": self.seed},
            "source_classes": list(map(str, self.source_classes)),
        }
        return {"source": source, "target": {**source, "target_classes": list(map(str, self.target_classes))}}

    def _files(self) -> tuple[Path, Path]:
        """Training and test series.

        Raises:
            ConfigError: they are not there.
        """
        folder = self._root() / self.name
        found = folder / f"{self.name}_TRAIN.ts", folder / f"{self.name}_TEST.ts"
        for file in found:
            if not file.is_file():
                raise ConfigError(
                    f"data.root: must be the folder that holds {self.name}/{file.name}, missing {file}; set"
                    " data.root=<folder>, or data.root=null and data.name=<set> for a set of aeon"
                )
        return found

    def _root(self) -> Path:
        if self.root is not None:
            return Path(self.root)
        spec = find_spec("aeon")
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                "data.root: null takes the series of the package aeon, which is not installed; "
                "pip install 'crossweep[sequences]', or set data.root=<folder>"
            )
        return Path(spec.submodule_search_locations[0]) / "datasets" / "data"

    def _task(self, which: str, classes: Sequence[str | int]) -> Task:
        train, test = (read(lambda file=file: read_ts(file)) for file in self._files())  # type: ignore[misc]
        names = sorted({name for _, name in train})
        chosen, first = (self._numbers(words, names) for words in (classes, self.source_classes))
        values = torch.cat([v for v, name in train if names.index(name) in first], -1)
        mean, std = values.mean(-1), values.std(-1)
        longest = max(v.shape[-1] for v, _ in (*train, *test))
        parts = (_images(part, names, mean, longest) for part in (train, test))
        kept, held = (select_classes(images, labels, chosen) for images, labels in parts)
        return make_task(
            name=f"{self.name} {which}",
            train=kept,
            test=held,
            class_names=[names[c] for c in chosen],
            mean=mean.tolist(),
            std=std.tolist(),
            validation=self.validation,
            seed=self.seed,
        )

    @staticmethod
    def _numbers(words: Sequence[str | int], names: Sequence[str]) -> list[int]:
        """Places of classes among those of the training series.

        Raises:
            ConfigError: one is not among them.
        """
        if unknown := [word for word in words if str(word) not in names]:
            raise ConfigError(f"data.target_classes: must be among {', '.join(names)}, got {unknown}")
        return [names.index(str(word)) for word in words]


def _images(
    series: Sequence[Series], names: Sequence[str], mean: Tensor, longest: int
) -> tuple[Tensor, Tensor]:
    """Values [n, channels, 1, longest], shorter series filled up in front, and labels [n]."""
    images = mean[:, None, None].repeat(len(series), 1, 1, longest)
    for image, (values, _) in zip(images, series, strict=True):
        image[:, 0, longest - values.shape[-1] :] = values
    return images, torch.tensor([names.index(name) for _, name in series])


def read_ts(path: Path) -> list[Series]:
    """The series of a `.ts` file: lines that begin with `#` or `@`, then one series per line, channels apart by `:`, values
    by `,`, the class last.

    Raises:
        ValueError: it is no such file, or series differ in their channels.

    Source: the format of timeseriesclassification.com, as aeon's `load_from_ts_file` reads it.
    """
    found = list(_series(path.read_text(encoding="utf-8").splitlines()))
    if not found:
        raise ValueError(f"{path} holds no series after @data")
    if len({values.shape[0] for values, _ in found}) > 1:
        raise ValueError(f"{path} holds series with different numbers of channels")
    return found


def _series(lines: Sequence[str]) -> Iterator[Series]:
    begun = False
    for number, line in enumerate(lines, 1):
        if begun and line.strip():
            *channels, name = line.strip().split(":")
            rows = [[float(value) for value in channel.split(",")] for channel in channels]
            if not rows or len({len(row) for row in rows}) > 1:
                raise ValueError(
                    f"line {number} is no series: channels of equal length and a class, apart by ':'"
                )
            yield torch.tensor(rows), name
        begun = begun or line.strip().lower() == "@data"
