"""Studies to one table, and the table to disk.

`collect` reads everything below the given folders. `TableWriter` keeps a study's table up to date while it
runs: only new trial folders are read.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from crossweep.errors import StudyError
from crossweep.records import RECORD_NAME, harmless, write_bytes
from crossweep.results import study_axes
from crossweep.results.reading import HIDDEN, StudyReader
from crossweep.results.table import Table
from crossweep.study_folder import ERROR, STUDY, TABLES, TRIAL


def collect(folders: Sequence[Path | str] | Path | str) -> Table:
    """Read every trial below the folders.

    Raises:
        StudyError: a folder does not exist, or holds nothing usable.
    """
    given = [folders] if isinstance(folders, Path | str) else list(folders)
    known = study_axes.catalogue()
    readers: list[StudyReader] = []
    for folder in given:
        root = Path(folder)
        if not root.is_dir():
            raise StudyError(f"`{root}` must be a folder with trials; it does not exist")
        readers += [StudyReader(found, known) for found in study_folders(root)]
    _make_names_distinct(readers)
    for reader in readers:
        reader.update()
    skipped = tuple(s for reader in readers for s in reader.skipped.values())
    frames = [frame for reader in readers if not (frame := reader.frame()).empty]
    if not frames:
        reasons = "; ".join(f"{s.folder}: {s.reason}" for s in skipped[:3]) or "no sub-folders"
        raise StudyError(f"no finished trial in {', '.join(map(str, given))} ({reasons})")
    studies = tuple(reader.study() for reader in readers)
    return Table(rows=_joined(frames), studies=studies, skipped=skipped)


def write_table(folder: Path | str) -> tuple[Path, ...]:
    """Rebuild `results.parquet` and `results.csv` of one study from its trial folders alone.

    Raises:
        StudyError: the folder does not exist or holds no finished trial.
    """
    table = collect(folder)
    return write_rows(Path(folder), table.rows)


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without the columns that only the analysis uses."""
    return rows.drop(columns=list(HIDDEN), errors="ignore")


def write_rows(folder: Path, rows: pd.DataFrame) -> tuple[Path, ...]:
    """Write both table files, each whole or not at all; folders are stored relative to the study."""
    plain = shown(rows)
    plain["folder"] = [os.path.relpath(path, folder) for path in plain["folder"]]
    for column in [c for c in plain.columns if pd.api.types.is_object_dtype(plain[c])]:
        values = plain[column]
        plain[column] = values.where(values.isna(), values.astype(str))
    parquet = io.BytesIO()
    plain.to_parquet(parquet, index=False)
    contents = (parquet.getvalue(), csv_bytes(plain))
    return tuple(write_bytes(folder / name, content) for name, content in zip(TABLES, contents))


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as CSV in which no cell is a formula to a spreadsheet."""
    texts = [c for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    safe = frame.assign(**{str(c): frame[c].map(harmless) for c in texts})
    return safe.rename(columns=harmless).to_csv(index=False, lineterminator="\n").encode()


class TableWriter:
    """Keeps a running study's table up to date, at a bounded share of the study's time.

    Args:
        folder: the study folder.
        max_share: the largest share of wall time spent here [1]; an update that would exceed it is left to
            the next.
    """

    def __init__(self, folder: Path | str, *, max_share: float = 0.05) -> None:
        self._reader = StudyReader(Path(folder))
        self._max_share = max_share
        self._cost = 0.0
        self._ended = float("-inf")

    def update(self, *, force: bool = False) -> bool:
        """Read new trials and write the table.

        Args:
            force: write now, whatever it costs (at the end of a study).

        Returns:
            Whether the table was written.
        """
        started = time.monotonic()
        if not force and started - self._ended < self._cost / self._max_share:
            return False
        self._reader.read_description()
        self._reader.update()
        rows = self._reader.frame()
        if not rows.empty:
            write_rows(self._reader.root, rows)
        self._ended = time.monotonic()
        self._cost = self._ended - started
        return not rows.empty


def study_folders(root: Path) -> list[Path]:
    """The folder itself where it holds trials, else those of its sub-folders that do, else itself."""
    if _holds_trials(root):
        return [root]
    with os.scandir(root) as entries:
        below = sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))
    return [path for path in below if _holds_trials(path)] or [root]


def _holds_trials(root: Path) -> bool:
    if (root / STUDY).is_file() or (root / RECORD_NAME).is_file():
        return True
    names = (RECORD_NAME, TRIAL, ERROR)
    with os.scandir(root) as entries:
        return any(Path(e.path, name).is_file() for e in entries if e.is_dir() for name in names)


def _make_names_distinct(readers: Sequence[StudyReader]) -> None:
    names = [reader.name for reader in readers]
    for reader, name in zip(readers, names):
        if names.count(name) > 1:
            reader.name = f"{reader.root.parent.name}/{reader.root.name}"


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    # columns that are empty in one study would otherwise decide the joint type
    full = [frame.dropna(axis=1, how="all") for frame in frames]
    joined = pd.concat(full, ignore_index=True)
    columns = dict.fromkeys(c for frame in frames for c in frame.columns)
    return joined.reindex(columns=list(columns))
