"""Text, character by character: which one comes next?"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import floor
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from crossweep.data.base import AbstractData, Split, Task
from crossweep.errors import ConfigError
from crossweep.schema import Count, ProperShare, Range

MOST = 256  # different characters


@dataclass(frozen=True, kw_only=True)
class Text(AbstractData):
    """Windows of a text, one after the other; the label of every place is the next character.

    Training, validation and test are three stretches of the text in this order. Source and target share their
    characters. Without a file the text is the reference of Python's language that comes with every Python (`help()` shows
    it); source and target are two stretches of it.

    Args:
        file: text to fine-tune on, UTF-8; None: the embedded one.
        source_file: text to pretrain on, likewise.
        context: characters of a window [1], >= 1.
        characters: longest text that is used of each [1].
        test: share of the windows at the end for the test [1], in (0, 1).
        validation: share of the others for validation, at their end [1], in [0, 1).

    Raises:
        ConfigError: a file cannot be read, is too short, or has more than 256 different characters.

    Source: Python Software Foundation, The Python Language Reference (`pydoc_data.topics`).
    """

    file: str | None
    source_file: str | None
    context: Count
    characters: Count
    test: Annotated[float, Range(above=0, below=1)]
    validation: ProperShare

    def source(self) -> Task:
        return self._task("text source", self._texts()[0])

    def target(self) -> Task:
        return self._task("text target", self._texts()[1])

    def fingerprint(self) -> dict[str, Any]:
        source, target = (blake2b(text.encode(), digest_size=16).hexdigest() for text in self._texts())
        shared = {
            "data": "text",
            "context": self.context,
            "test": self.test,
            "validation": self.validation,
            "letters": "".join(self._letters()),
        }
        return {"source": {**shared, "text": source}, "target": {**shared, "text": target}}

    def _texts(self) -> tuple[str, str]:
        """Source and target."""
        n = self.characters
        source = embedded()[:n] if self.source_file is None else _read(self.source_file, "source_file")[:n]
        target = embedded()[n : 2 * n] if self.file is None else _read(self.file, "file")[:n]
        return source, target

    def _letters(self) -> list[str]:
        """All characters, in a fixed order."""
        letters = sorted(set("".join(self._texts())))
        if len(letters) > MOST:
            raise ConfigError(f"data.file: must have at most {MOST} different characters, got {len(letters)}")
        return letters

    def _task(self, name: str, text: str) -> Task:
        letters = self._letters()
        number = {letter: i for i, letter in enumerate(letters)}
        codes = torch.tensor([number[letter] for letter in text])
        windows = (len(codes) - 1) // self.context
        held = floor(self.test * windows + 0.5)
        valid = floor(self.validation * (windows - held) + 0.5)
        if min(held, windows - held - valid) < 1 or (self.validation and valid < 1):
            raise ConfigError(
                f"data.file: must have windows of {self.context} characters for training, validation and test, got "
                f"{len(text)} characters"
            )
        used = windows * self.context
        images = codes[:used].view(windows, 1, 1, self.context).float()
        labels = codes[1 : used + 1].view(windows, self.context)
        train, validation = windows - held - valid, windows - held
        return Task(
            name=name,
            train=_split(images[:train], labels[:train]),
            validation=_split(images[train:validation], labels[train:validation]) if valid else None,
            test=_split(images[validation:], labels[validation:]),
            class_names=tuple(map(repr, letters)),
        )


def _split(characters: Tensor, following: Tensor) -> Split:
    # mean 0 and deviation 1 leave the characters' numbers as they are
    return Split(images=characters, labels=following, mean=(0.0,), std=(1.0,))


def embedded() -> str:
    """The topics of Python's language reference, one after the other."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _read(file: str, key: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"data.{key}: must name a text in UTF-8, got {file}: {error}") from error
