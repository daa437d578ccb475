"""``study.json``: what the study is, for reports and for checking that a second start means the same one."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossweep.axis import Axis
from crossweep.configured import flattened
from crossweep.errors import StudyError
from crossweep.records import read_json, write_json
from crossweep.study_folder import STUDY
from crossweep.sweep.ledger import now
from crossweep.sweep.plugins import split
from crossweep.sweep.settings import Settings
from crossweep.sweep.space import Space

STUDY_FORMAT = 1
SHOWN = 5
NEEDED = frozenset(("name", "axes", "objectives", "directions", "seeds", "started", "starts", "config"))
REMEDY = "remove it, and the next start describes the study again"


def read(directory: Path) -> dict[str, Any] | None:
    """The description in a study folder, None if there is none."""
    path = directory / STUDY
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StudyError(f"{path}: damaged ({error}); {REMEDY}") from error
    if not isinstance(content, dict) or not content.keys() >= NEEDED:
        raise StudyError(f"{path}: no description of a study; {REMEDY}")
    return content


def write(
    directory: Path,
    name: str,
    settings: Settings,
    space: Space,
    config: Mapping[str, Any],
    command: str,
    earlier: Mapping[str, Any] | None,
) -> None:
    """Describe the study; earlier starts are kept in ``starts``."""
    start = {
        "at": now(),
        "host": platform.node(),
        "n_trials": settings.n_trials,
        "workers": settings.n_workers,
    }
    content = {
        "format": STUDY_FORMAT,
        "name": name,
        "axes": [_axis(axis) for axis in space.axes],
        "objectives": list(settings.objectives),
        "directions": list(settings.objectives.values()),
        "constraints": list(settings.constraints),
        "seeds": list(settings.seed_list),
        "seed_keys": list(settings.seed_keys),
        "sampler": split(settings.sampler, "sampler")[0] or settings.sampler["target"],
        "sampler_options": split(settings.sampler, "sampler")[1],
        "budget": settings.budget,
        "n_trials": settings.n_trials,
        "threads": settings.threads,
        "published": settings.published,
        "command": command,
        "started": earlier["started"] if earlier else start["at"],
        "starts": [*(earlier["starts"] if earlier else []), start],
        "config": dict(config),
    }
    write_json(directory / STUDY, content)


def _axis(axis: Axis) -> dict[str, Any]:
    content = asdict(axis)
    del content["configured"], content["microsiemens"]  # a report finds them in the configuration
    content["int"] = content.pop("integer")
    return content


def check_same(
    earlier: Mapping[str, Any], settings: Settings, space: Space, config: Mapping[str, Any], *, allow: bool
) -> list[str]:
    """Compare a second start with the study it continues; returns the differences that were allowed.

    Raises:
        StudyError: axes, objectives or seeds differ, or settings of the runs do and ``allow`` is false.
    """
    new = {
        "axes": {axis.name: _essence(_axis(axis)) for axis in space.axes},
        "objectives": dict(settings.objectives),
        "seeds": list(settings.seed_list),
    }
    old = {
        "axes": {axis["name"]: _essence(axis) for axis in earlier["axes"]},
        "objectives": dict(zip(earlier["objectives"], earlier["directions"])),
        "seeds": list(earlier["seeds"]),
    }
    for key, value in new.items():
        if value != old[key]:
            raise StudyError(
                f"study.name: {earlier['name']} has other {key}: {_difference(old[key], value)}; "
                "study.name=ANOTHER begins a study of its own"
            )
    changes = changed(earlier["config"], config)
    began = earlier.get("threads")
    if began is not None and settings.threads not in (None, began):
        changes.append(f"study.threads: {began} -> {settings.threads} (the same sums, in another order)")
    if changes and not allow:
        more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
        raise StudyError(
            f"study.name: {earlier['name']} began with other settings: {'; '.join(changes[:SHOWN])}{more}; "
            "study.name=ANOTHER begins a study of its own, study.allow_changes=true goes on with this one"
        )
    return changes


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """``key: old -> new`` for every difference of two flat configurations."""
    missing = "absent"
    keys = sorted({*old, *new})
    return [
        f"{key}: {old.get(key, missing)} -> {new.get(key, missing)}"
        for key in keys
        if old.get(key, missing) != new.get(key, missing)
    ]


def _essence(axis: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two axes the same for the trials that were run; labels may change."""
    kept = ("keys", "low", "high", "scale", "int", "step", "choices", "when")
    plain = {key: axis[key] for key in kept}
    for key in ("keys", "choices"):
        plain[key] = None if plain[key] is None else list(plain[key])
    if plain["when"] is not None:
        plain["when"] = {key: list(value) for key, value in plain["when"].items()}
    return plain


def _difference(old: Any, new: Any) -> str:
    """Only what differs; an axis that one of them lacks is named, not described."""
    if not isinstance(old, Mapping):
        return f"{old} -> {new}"
    parts = []
    for name in sorted({*old, *new}):
        before, after = (flattened({name: side[name]}) if name in side else None for side in (old, new))
        if before is None or after is None:
            parts.append(f"{name} is {'new' if before is None else 'absent'}")
        else:
            parts += changed(before, after)
    return "; ".join(parts[:SHOWN]) + (f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else "")
