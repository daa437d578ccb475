"""The axes of a study that is read.

They come from `study.json` where the crossweep sweeper wrote one. For a plain Hydra grid they are inferred from the
overrides that vary, and labels and units are looked up in `conf/axis/*.yaml` by the configuration key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from crossweep.axis import Axis
from crossweep.configured import configured
from crossweep.errors import ConfigError, CrossweepError
from crossweep.paths import conf_dir
from crossweep.schema import LARGEST

NOT_AXES = ("seed", "study", "study_name", "hydra")  # keys that vary without being a flaw of the device


def from_study(described: object, config: object = None) -> tuple[Axis, ...]:
    """Axes as the sweeper describes them: a mapping name -> description, or a list with names in it.

    Args:
        described: of the axes.
        config: flat configuration that the study's trials start from, if it is known.
    """
    if isinstance(described, Mapping):
        items = [(str(name), d if isinstance(d, Mapping) else {}) for name, d in described.items()]
    elif isinstance(described, Sequence) and not isinstance(described, str):
        items = [(str(d["name"]), d) for d in described if isinstance(d, Mapping) and "name" in d]
    else:
        items = []
    flat = config if isinstance(config, Mapping) else {}
    return tuple(axis for name, d in items if (axis := _described(name, d, flat)) is not None)


def _axis(**given: Any) -> Axis | None:
    """An axis, None where a foreign description breaks its rules."""
    try:
        return Axis(**given)
    except ConfigError:
        return None


def _described(name: str, d: Mapping[str, Any], flat: Mapping[str, Any]) -> Axis | None:
    choices, keys = _listed(d.get("choices")), _listed(d.get("keys") or d.get("key") or name)
    label = str(d.get("label") or "") or None
    if choices:
        return _axis(name=name, keys=keys, label=label, choices=tuple(dict.fromkeys(choices)))
    low, high = _finite(d.get("low")), _finite(d.get("high"))
    if low is None or high is None or not low < high:
        return None
    log = str(d.get("scale", "linear")) == "log" or bool(d.get("log"))
    held = _within(configured(flat, keys), low, high)
    given = _within(d.get("nominal"), low, high)
    return _axis(
        name=name,
        keys=keys,
        low=low,
        high=high,
        scale="log" if log and low > 0 else "linear",
        unit=str(d.get("unit") or "") or None,
        label=label,
        ideal=_within(d.get("ideal"), low, high),
        nominal=held if given is None else given,
        configured=held,
        microsiemens=microsiemens(d.get("unit"), flat),
    )


def microsiemens(unit: object, flat: Mapping[str, Any]) -> float | None:
    """What one unit of weight, of the range or of the step is in a measured device; None where that has no answer."""
    per_w = configured(flat, ["device.siemens_per_w"])
    if per_w is None or unit not in ("w", "w_max", "dw_min"):
        return None
    size = 1.0 if unit == "w" else configured(flat, [f"device.{unit}"])
    return None if size is None else 1e6 * per_w * size


def _listed(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else () if value is None else (value,)
    return tuple(map(str, items))


def _finite(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and abs(value) <= LARGEST else None  # type: ignore[arg-type,operator]


def _within(value: object, low: float, high: float) -> float | None:
    number = _finite(value)
    return number if number is not None and low <= number <= high else None


def inferred(name: str, values: Iterable[object], catalogue: Mapping[str, Axis]) -> Axis | None:
    """The axis that a grid's values span, categorical for text; None where they do not vary."""
    seen = [v for v in dict.fromkeys(values) if v is not None]
    if len(seen) < 2 or name.partition(".")[0] in NOT_AXES:
        return None
    numbers = [number for v in seen if (number := _finite(v)) is not None]
    if len(numbers) < len(seen):
        return Axis(name=name, keys=(name,), choices=tuple(sorted(map(str, seen))))
    known, low, high = catalogue.get(name), min(numbers), max(numbers)
    scale = known.scale if known else _spacing(numbers)
    found = Axis(name=name, keys=(name,), low=low, high=high, scale=scale if low > 0 else "linear")
    if known is None:
        return found
    return replace(found, unit=known.unit, label=known.label, ideal=_within(known.ideal, low, high))


def _spacing(numbers: Sequence[float]) -> Literal["linear", "log"]:
    """Log where the values are positive, span a decade, and their ratios are more even than their steps."""
    v = np.sort(np.asarray(numbers))
    if len(v) < 3 or v[0] <= 0 or v[-1] < 10 * v[0]:
        return "linear"
    steps, ratios = np.diff(v), np.diff(np.log(v))
    return "log" if ratios.std() / ratios.mean() < steps.std() / steps.mean() else "linear"


def catalogue() -> dict[str, Axis]:
    """Axes by configuration key, from `conf/axis/*.yaml`; empty where no configuration is installed."""
    try:
        import yaml

        folder = conf_dir() / "axis"
    except (ImportError, CrossweepError):
        return {}
    by_key: dict[str, Axis] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            continue
        for axis in from_study(content):
            by_key.update({key: axis for key in axis.keys if key not in by_key})
    return by_key
