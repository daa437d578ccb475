"""What a run leaves on disk: ``record.json`` and ``history.csv``, written whole or not at all."""

import contextlib
import csv
import io
import json
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from crossweep.errors import ConfigError, masked

FORMAT = 1
CHECKPOINT_NAME = "checkpoint.safetensors"
RECORD_NAME = "record.json"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # with one of these a cell begins that a spreadsheet may run
State = Literal["complete", "diverged", "pruned", "failed"]
_TEMPORARY = ".tmp"
_FORGOTTEN = 86400.0  # age at which a temporary file's writer is surely gone [s]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One finished run. Accuracies are shares in 0..1, errors are in per cent, increases in percentage points.

    ``failed``: it has no result, because the pretraining or the reference has none; all metrics are null and the first of
    ``warnings`` says why. ``endurance``: pulses of the devices of each array, counted; ``estimate``: time and energy on a
    chip, from constants of ``config.hardware``, not measured.
    ``reference`` names the baseline that ``error_increase`` refers to; ``warnings`` are sentences.
    """

    state: State
    algorithm: str
    metrics: Mapping[str, float | None]
    baselines: Mapping[str, Mapping[str, float | None]]
    history: Sequence[Mapping[str, float]]
    seed: Mapping[str, int]
    choices: Mapping[str, Any]
    overrides: Sequence[str]
    config: Mapping[str, Any]
    learning_rates: Mapping[str, Any]
    conversion: Sequence[Mapping[str, Any]]
    cost: Mapping[str, float]
    versions: Mapping[str, str]
    git: Mapping[str, Any] | None
    hardware: Mapping[str, Any]
    started: str
    wall_seconds: float
    endurance: Sequence[Mapping[str, Any]] = ()
    estimate: Mapping[str, float] = field(default_factory=dict)
    reference: str | None = None
    warnings: Sequence[str] = ()
    format: int = field(default=FORMAT)

    def write(self, folder: Path) -> Path:
        """Write ``record.json`` and ``history.csv`` into ``folder``; the record comes last and marks the run done."""
        write_csv(folder / "history.csv", self.history)
        return write_json(folder / RECORD_NAME, asdict(self))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all: a temporary name beside it, flushed to disk, then ``os.replace``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # the system does not say which file a full disk met
        raise
    return path


def remove_forgotten(folder: Path) -> None:
    """Remove what killed processes left half-written below ``folder``: temporary files older than a day."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(_TEMPORARY):
                path = Path(place, name)
                with contextlib.suppress(OSError):  # another process may be faster
                    if time.time() - path.stat().st_mtime > _FORGOTTEN:
                        path.unlink()


def write_json(path: Path, content: Any) -> Path:
    """Atomic JSON; non-finite numbers become ``null`` so that every reader can parse the file, passwords ``***``."""
    return write_bytes(path, json.dumps(_clean(content), indent=1, allow_nan=False).encode())


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Atomic CSV with the union of the rows' keys as header, in order of first appearance."""
    fields = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writerow({key: harmless(key) for key in fields})
    writer.writerows({key: harmless(value) for key, value in row.items()} for row in rows)
    return write_bytes(path, text.getvalue().encode())


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet runs: text that would be a formula there gets an apostrophe in front.

    Source: OWASP, "CSV Injection".
    """
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        ValueError: the file is not valid JSON.
        OSError: it cannot be read.
    """
    return json.loads(path.read_bytes())


def read_record(path: Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises:
        ConfigError: the file is damaged, or no record of this version.
    """
    remedy = "remove it, or run again with resume=never"
    try:
        record = read_json(path)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: damaged ({error}); {remedy}") from error
    needed = [f.name for f in fields(RunRecord) if f.default is MISSING and f.default_factory is MISSING]
    if not isinstance(record, dict) or record.get("format") != FORMAT or not record.keys() >= set(needed):
        raise ConfigError(f"{path}: no record of a run of this version; {remedy}")
    return dict(record)


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
