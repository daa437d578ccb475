"""Finding a data set's files, or saying in one line how to get them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from crossweep.errors import ConfigError

T = TypeVar("T")


def require_files(files: Sequence[Path], *, fetch: Callable[[], object] | None) -> None:
    """All `files` exist, after `fetch` where one is missing.

    Args:
        files: what the data set reads.
        fetch: downloads them; None when the user did not ask for it.

    Raises:
        ConfigError: a file is missing and may not or cannot be downloaded.
    """
    if fetch is not None and _missing(files):
        read(fetch)
    missing = _missing(files)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ConfigError(
            f"data.root: must be the folder that holds the data set, missing {missing[0]}{more};"
            " set data.root=<folder>, or data.download=true to fetch it"
        )


def read(reader: Callable[[], T]) -> T:
    """The result of `reader`, any of its failures as one line.

    Raises:
        ConfigError: the files are damaged, or a download failed.
    """
    try:
        return reader()
    except Exception as error:  # pickle, zlib, urllib, torchvision: each has its own kinds
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"data.root: must hold undamaged files, or data.download=true needs a network, got: {message}"
        ) from error


def file_digests(files: Sequence[Path]) -> dict[str, str]:
    """A hash of each file's content by its name: part of a fingerprint."""
    return {file.name: digest(file) for file in files}


def digest(file: Path) -> str:
    """A hash of a file's content, which is read again only when its size or its time of change is another.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        status = file.stat()
        return _digest(file, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"data: must name readable files, got {file}: {error.strerror}") from error


@functools.cache
def _digest(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _missing(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if not file.is_file()]
