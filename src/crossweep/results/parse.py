"""One run's files to one row; what cannot be used says in words what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossweep.configured import NOT_IDENTITY, flattened
from crossweep.records import FORMAT
from crossweep.study_folder import ERROR

STATES = ("complete", "diverged", "pruned", "failed")
LARGEST = 1e100  # of a number that is measured; its square is finite too
ABSENT = "absent"  # of a key that a run's configuration does not have
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
        content = json.loads(path.read_bytes(), parse_int=_bounded)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as problem:
        raise NotUsable(f"{path.name} is not readable ({type(problem).__name__}; half-written?)") from problem
    if not isinstance(content, Mapping):
        raise NotUsable(f"{path.name} is not a JSON object; foreign?")
    return content


def run_row(name: str, path: Path, record: Json, trial: Json, told: Mapping[str, float] | None = None) -> Row:
    """The row of a run that left a record.

    Args:
        name: of the trial's folder, for its number.
        path: folder of the run.
        record: content of `record.json`.
        trial: content of `trial.json`, empty outside a study.
        told: what the study was told for its objectives; it stands where the run itself has no finite value.

    Raises:
        NotUsable: the record has another format or lacks what every row needs.
    """
    _require_usable(record)
    seeds, git = plain(record.get("seed")), _mapping(record.get("git"))
    metrics = _numbers("metric.", record["metrics"])
    missing = {
        m: v for k, v in (told or {}).items() if not np.isfinite(metrics.get(m := f"metric.{k}", np.nan))
    }
    params = plain(trial.get("params"))
    row: Row = {
        "trial": _number(name, trial),
        "seed": seeds.get("training", seeds.get("device")),
        "state": "diverged" if missing else record["state"],
        "algorithm": str(record["algorithm"]),
        "folder": str(path),
        "varied": tuple(params),
        **{f"axis.{k}": v for k, v in params.items()},
        **{f"choice.{k}": _text(v) for k, v in _mapping(record.get("choices")).items()},
        **metrics,
        **missing,
        **_numbers("cost.", _mapping(record.get("cost"))),
        **{f"seed.{k}": v for k, v in seeds.items()},
        "wall_seconds": _numbers("", record).get("wall_seconds"),
        "started": _words(record.get("started")),
        "reference": _words(record.get("reference")),
        "warnings": "\n".join(map(str, listed(record.get("warnings")))) or None,
        "commit": _words(git.get("commit")),
        "dirty": git.get("dirty") is True,
        "hardware": _words(_mapping(record.get("hardware")).get("device")),
        "version": _words(_mapping(record.get("versions")).get("crossweep")),
        "retry_of": _whole(trial.get("retry_of")),
        "error": None,
    }
    for which, values in _mapping(record.get("baselines")).items():
        row.update(_numbers(f"baseline.{which}.", _mapping(values)))
    return row


def lost_row(name: str, path: Path, trial: Json) -> Row:
    """The row of a run without a record, crashed or pruned: where it was, and its traceback's last line."""
    pruned, error = trial.get("state") == "pruned", trial.get("error")
    if not error and not pruned and (path / ERROR).is_file():
        error = (path / ERROR).read_text(encoding="utf-8", errors="replace")
    params = plain(trial.get("params"))
    return {
        "trial": _number(name, trial),
        "seed": None,
        "state": "pruned" if pruned else "failed",
        "algorithm": str(params.get("algorithm") or ""),
        "folder": str(path),
        "varied": tuple(params),
        **{f"axis.{k}": v for k, v in params.items()},
        "started": _words(trial.get("started")),
        "retry_of": _whole(trial.get("retry_of")),
        "error": None if pruned else _last_line(str(error or "no error text")),
    }


def overrides_of(record: Json) -> dict[str, object]:
    """`["a.b=0.1", "algorithm=agad"]` as {"a.b": 0.1, "algorithm": "agad"}."""
    found: dict[str, object] = {}
    for override in listed(record.get("overrides")):
        key, equals, value = str(override).partition("=")
        if equals and not key.startswith("~"):
            found[key.lstrip("+")] = _value(value)
    return found


def identity(record: Json, seed_keys: Sequence[str] = ()) -> dict[str, object]:
    """The flat configuration without the seeds and without what only says how a run is carried out.

    Two runs with the same one are replicates of each other.
    """
    flat = flattened(_mapping(record.get("config")))
    left_out = (*NOT_IDENTITY, "seed", *seed_keys)
    return {k: _hashable(v) for k, v in flat.items() if not under(k, left_out)}


def under(key: str, parents: Iterable[str]) -> bool:
    """Whether a dotted key is one of the parents, or lies below one."""
    return any(key == parent or key.startswith(f"{parent}.") for parent in parents)


def told_values(trial: Json, objectives: Sequence[str], seed: int | None = None) -> dict[str, float]:
    """What the study was told for each objective: by one seed's run, else by the trial."""
    seeds, columns = listed(trial.get("seeds")), listed(trial.get("seed_values"))
    if seed in seeds:
        place = seeds.index(seed)
        values = [column[place] if len(listed(column)) > place else None for column in columns]
    else:
        values = listed(trial.get("values"))
    return {k: v for k, v in _numbers("", dict(zip(objectives, values))).items() if np.isfinite(v)}


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
    return (int(digits) if digits.isdecimal() and len(digits) < 16 else -1, name)


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


def plain(value: object) -> dict[str, Any]:
    """A mapping of single values; what is nested becomes text."""
    return {
        str(k): v if isinstance(v, str | int | float | None) else str(v) for k, v in _mapping(value).items()
    }


def listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _words(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _hashable(value: object) -> object:
    known = isinstance(value, str | int | float | None) and value == value  # noqa: PLR0124  (not nan)
    return value if known else str(value)


def _value(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return None if text in ("null", "None") else text.strip("'\"")


def _numbers(prefix: str, values: Json) -> Row:
    return {
        f"{prefix}{k}": float(v) if v is not None and abs(v) < LARGEST else np.nan
        for k, v in values.items()
        if v is None or isinstance(v, int | float)
    }


def _bounded(digits: str) -> int | float:
    """A whole number, or infinity where no table could hold it."""
    return int(digits) if len(digits) < 18 else float(digits)


def _text(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(name: str, trial: Json) -> int:
    own, told = natural(name)[0], _whole(trial.get("number"))
    return own if own >= 0 or told is None else told  # a folder's name cannot be taken twice


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
