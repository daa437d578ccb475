"""A study's runs as two small files: rows as CSV, what the study was as JSON. No folder of a run is needed any more."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossweep.records import RECORD_NAME, harmless, write_bytes, write_json
from crossweep.results import study_axes
from crossweep.results.collecting import collect
from crossweep.results.parse import read_object
from crossweep.results.reading import HIDDEN, LEADING
from crossweep.results.table import Study, Table

HISTORY = "epoch."  # columns of the test accuracy after each epoch [1]
_GROUPS = ("axis.", "metric.", "baseline.", "seed.", HISTORY)
_CHOICES = [f"choice.{name}" for name in ("device", "model", "data", "experiment")]
_FACTS = ["wall_seconds", "reference", "commit", "hardware", "version"]
_TOLD = (
    "name",
    "axes",
    "objectives",
    "directions",
    "seeds",
    "seed_keys",
    "budget",
    "command",
    "config",
    "published",
)
_OF_RECORD = ("versions", "hardware", "choices")
_PRIVATE = ("host", "root", "file", "data_root")  # parts of keys that say where somebody's files lie
_DIGITS = 6


def save(folder: Path, target: Path) -> list[Path]:
    """Write ``<target>.csv`` and ``<target>.json`` from a study's folder.

    Raises:
        StudyError: the folder holds no finished trial.
    """
    table = collect(folder)
    rows, study = table.rows, table.studies[0]
    accuracy = pd.DataFrame([_epochs(Path(f)) for f in rows["folder"]], index=rows.index)
    rows = pd.concat([rows, accuracy], axis=1)
    kept = [c for c in rows.columns if c in (*LEADING, *_CHOICES, *_FACTS, *HIDDEN) or c.startswith(_GROUPS)]
    rows = rows[[c for c in kept if rows[c].notna().any()]]
    texts = {c: rows[c].map(_text) for c in HIDDEN}
    content = rows.assign(**texts).to_csv(
        index=False, float_format=f"%.{_DIGITS}g", quoting=csv.QUOTE_MINIMAL
    )
    told = {k: v for k, v in study.described.items() if k in _TOLD}
    told["config"] = _public(told.get("config", {}))
    told["command"] = _typed(told.get("command", ""))
    record = {k: v for k, v in study.first_record.items() if k in _OF_RECORD}
    record["hardware"] = _public(record.get("hardware", {}))
    return [
        write_bytes(target.with_suffix(".csv"), content.encode()),
        write_json(target.with_suffix(".json"), {"study": {"name": study.name, **told}, "record": record}),
    ]


def load(target: Path) -> Table | None:
    """The runs as `collect` gave them; None where nothing was saved."""
    told = read_object(target.with_suffix(".json"))
    if told is None:
        return None
    text = target.with_suffix(".csv").read_text(encoding="utf-8")
    # converters, because pandas takes the text `null` for a missing value
    nested: dict[str, Callable[[str], Any]] = {
        "varied": lambda text: tuple(json.loads(text)),
        "settings": json.loads,
    }
    rows = pd.read_csv(io.StringIO(text), dtype={"commit": str, "version": str}, converters=nested)
    rows["folder"] = ""
    described, record = told["study"], told["record"]
    axes = study_axes.from_study(described.get("axes"), described.get("config"))
    study = Study(
        name=described["name"],
        folder=target,
        axes=tuple(axis for axis in axes if axis.name != "algorithm"),
        described=described,
        first_record=record,
    )
    return Table(rows=rows, studies=(study,), skipped=())


def _epochs(folder: Path) -> dict[str, float]:
    record = read_object(folder / RECORD_NAME) or {}
    return {
        f"{HISTORY}{row['epoch']:.0f}": row.get("test_accuracy", np.nan) for row in record.get("history", ())
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        value = _public(value)
    return json.dumps(value if isinstance(value, dict | list | tuple) else None)


def _typed(command: str) -> str:
    """A command without the words that say where somebody's files lie."""
    words = shlex.split(command)
    return shlex.join(word for word in words if not set(word.split("=")[0].split(".")) & set(_PRIVATE))


def _public(settings: Any) -> dict[str, Any]:
    """Without the keys that say where somebody's files lie."""
    found = settings if isinstance(settings, dict) else {}
    return {k: harmless(v) for k, v in found.items() if not set(k.split(".")) & set(_PRIVATE)}
