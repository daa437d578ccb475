"""One run's files to one row; what cannot be used says in words what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossweep.records import FORMAT, read_json

STATES = ("complete", "diverged", "pruned", "failed")
ERROR_NAME = "error.txt"
Row = dict[str, Any]
Json = Mapping[str, Any]


class NotUsable(Exception):
    """A folder that cannot be a row; the text is the reason that the user reads."""


def read_object(path: Path) -> Json | None:
    """The JSON object in a file; None where there is no file.

    Raises:
        NotUsable: half-written, unreadable, or not an object.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise NotUsable(f"{path.name} is not readable ({type(problem).__name__}; half-written?)") from problem
    if not isinstance(content, Mapping):
        raise NotUsable(f"{path.name} is not a JSON object; foreign?")
    return content


def run_row(name: str, path: Path, record: Json, trial: Json) -> Row:
    """The row of a run that left a record.

    Args:
        name: of the trial's folder, for its number.
        path: folder of the run.
        record: content of `record.json`.
        trial: content of `trial.json`, empty outside a study.

    Raises:
        NotUsable: the record has another format or lacks what every row needs.
    """
    _require_usable(record)
    seeds, git = _mapping(record.get("seed")), _mapping(record.get("git"))
    row: Row = {
        "trial": _number(name, trial),
        "seed": seeds.get("training", seeds.get("device")),
        "state": record["state"],
        "algorithm": str(record["algorithm"]),
        "folder": str(path),
        **{f"axis.{k}": v for k, v in _mapping(trial.get("params")).items()},
        **{f"choice.{k}": _text(v) for k, v in _mapping(record.get("choices")).items()},
        **_numbers("metric.", record["metrics"]),
        **_numbers("cost.", _mapping(record.get("cost"))),
        **{f"seed.{k}": v for k, v in seeds.items()},
        "wall_seconds": record.get("wall_seconds"),
        "started": record.get("started"),
        "commit": git.get("commit"),
        "dirty": git.get("dirty"),
        "hardware": _mapping(record.get("hardware")).get("device"),
        "version": _mapping(record.get("versions")).get("crossweep"),
        "retry_of": trial.get("retry_of"),
        "error": None,
    }
    for which, values in _mapping(record.get("baselines")).items():
        row.update(_numbers(f"baseline.{which}.", _mapping(values)))
    return row


def lost_row(name: str, path: Path, trial: Json) -> Row:
    """The row of a run without a record, crashed or pruned: where it was, and its traceback's last line."""
    pruned, error = trial.get("state") == "pruned", trial.get("error")
    if not error and not pruned and (path / ERROR_NAME).is_file():
        error = (path / ERROR_NAME).read_text(encoding="utf-8", errors="replace")
    params = _mapping(trial.get("params"))
    return {
        "trial": _number(name, trial),
        "seed": None,
        "state": "pruned" if pruned else "failed",
        "algorithm": str(params.get("algorithm") or ""),
        "folder": str(path),
        **{f"axis.{k}": v for k, v in params.items()},
        "started": trial.get("started"),
        "retry_of": trial.get("retry_of"),
        "error": None if pruned else _last_line(str(error or "no error text")),
    }


def overrides_of(record: Json) -> dict[str, object]:
    """`["a.b=0.1", "algorithm=agad"]` as {"a.b": 0.1, "algorithm": "agad"}."""
    found: dict[str, object] = {}
    for override in record.get("overrides") or []:
        key, equals, value = str(override).partition("=")
        if equals and not key.startswith("~"):
            found[key.lstrip("+")] = _value(value)
    return found


def setting(record: Json, key: str) -> object:
    """What a run used for a key that it did not override: the group's choice, else what is configured."""
    choices = _mapping(record.get("choices"))
    if key in choices:
        return _text(choices[key])
    node: object = record.get("config")
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, int | float | str) else None


def natural(name: str) -> tuple[int, str]:
    """Sorting key: trial_2 before trial_10."""
    digits = name.rpartition("_")[2]
    return (int(digits) if digits.isdecimal() else -1, name)


def _require_usable(record: Json) -> None:
    if record.get("format") != FORMAT:
        raise NotUsable(f"record.json has format {record.get('format')!r}, this version reads {FORMAT}")
    missing = [key for key in ("state", "algorithm", "metrics") if key not in record]
    if missing:
        raise NotUsable(f"record.json lacks {', '.join(missing)}")
    if record["state"] not in STATES or not isinstance(record["metrics"], Mapping):
        raise NotUsable(f"record.json has state {record['state']!r} or metrics that are not a mapping")


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _value(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return None if text in ("null", "None") else text.strip("'\"")


def _numbers(prefix: str, values: Json) -> Row:
    number = (int, float, type(None))
    return {prefix + str(k): (np.nan if v is None else v) for k, v in values.items() if isinstance(v, number)}


def _text(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(name: str, trial: Json) -> int:
    number = trial.get("number")
    return int(number) if isinstance(number, int) else natural(name)[0]


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
