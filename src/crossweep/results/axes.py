"""An axis of a study: its name with unit, its range, and its map onto the unit interval.

Axes come from `study.json` where the crossweep sweeper wrote one. For a plain Hydra grid they are inferred
from the overrides that vary, and labels and units are looked up in `conf/axis/*.yaml` by the configuration
key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossweep.configured import configured
from crossweep.errors import ConfigError, CrossweepError
from crossweep.paths import conf_dir

Array = NDArray[np.float64]
NOT_AXES = ("seed", "study", "study_name", "hydra")  # keys that vary without being a flaw of the device
PLAIN_UNITS = ("", "1", "none", "None")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One swept quantity.

    Args:
        name: as in the study and in the columns (`axis.<name>`).
        keys: configuration keys that it sets.
        low: lower end of the range [unit].
        high: upper end of the range [unit], > low.
        scale: "linear" or "log".
        unit: printed in brackets; empty for a pure number.
        label: words for figures; empty: the name.
        ideal: the harmless end, where tolerances start [unit]; None: found from the surface.
        nominal: the usual value, at which the other axes' tolerances are stated [unit]; None: the harmless
            end.
        configured: what the study's own configuration holds [unit]; None: no single number on the axis.
        choices: the values of a categorical axis; empty for a numeric one.
    """

    name: str
    keys: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    scale: str = "linear"
    unit: str = ""
    label: str = ""
    ideal: float | None = None
    nominal: float | None = None
    configured: float | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.numeric and not self.low < self.high:
            raise ConfigError(f"axis {self.name}: `low < high` must hold, got {self.low}, {self.high}")
        if self.log and not self.low > 0:
            raise ConfigError(f"axis {self.name}: a log axis needs `low > 0`, got {self.low}")

    @property
    def numeric(self) -> bool:
        return not self.choices

    @property
    def log(self) -> bool:
        return self.numeric and self.scale == "log"

    @property
    def title(self) -> str:
        """Label with unit, for figures: `SP skew [w_max]`."""
        words = self.label or self.name.replace("_", " ")
        return words if self.unit in PLAIN_UNITS else f"{words} [{self.unit}]"

    @property
    def short(self) -> str:
        return self.label or self.name.replace("_", " ")

    def to_unit(self, values: ArrayLike) -> Array:
        """Own units to [0, 1]; values outside the range land outside."""
        low, high, v = self.low, self.high, np.asarray(values, dtype=np.float64)
        if self.log:
            low, high, v = np.log(low), np.log(high), np.log(np.maximum(v, 1e-300))
        with np.errstate(over="ignore"):  # a foreign value may lie anywhere
            return np.asarray((v - low) / (high - low))

    def from_unit(self, values: ArrayLike) -> Array:
        """[0, 1] to own units."""
        u = np.asarray(values, dtype=np.float64)
        if self.log:
            return np.asarray(self.low * (self.high / self.low) ** u)
        return np.asarray(self.low + u * (self.high - self.low))

    def text(self, value: float) -> str:
        """A value with unit: `0.12 w_max`."""
        number = number_text(value)
        return number if self.unit in PLAIN_UNITS else f"{number} {self.unit}"

    def holds(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Whether values lie on the axis; what is not finite does not."""
        unit = self.to_unit(values)
        return np.asarray(np.isfinite(unit) & (unit > -1e-6) & (unit < 1 + 1e-6))


def number_text(value: float, digits: int = 3) -> str:
    """A number as people write it: `2000`, not `2e+03`; powers of ten from a million on and below a thousandth."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e6 else text


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


def _described(name: str, d: Mapping[str, Any], flat: Mapping[str, Any]) -> Axis | None:
    choices, keys = _listed(d.get("choices")), _listed(d.get("keys") or d.get("key") or name)
    label = str(d.get("label") or "")
    if choices:
        return Axis(name=name, keys=keys, label=label, choices=tuple(dict.fromkeys(choices)))
    low, high = _finite(d.get("low")), _finite(d.get("high"))
    if low is None or high is None or not low < high:
        return None
    log = str(d.get("scale", "linear")) == "log" or bool(d.get("log"))
    held = _within(configured(flat, keys), low, high)
    given = _within(d.get("nominal"), low, high)
    return Axis(
        name=name,
        keys=keys,
        low=low,
        high=high,
        scale="log" if log and low > 0 else "linear",
        unit=str(d.get("unit") or ""),
        label=label,
        ideal=_within(d.get("ideal"), low, high),
        nominal=held if given is None else given,
        configured=held,
    )


def _listed(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else () if value is None else (value,)
    return tuple(map(str, items))


def _finite(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and abs(value) < 1e300 else None  # type: ignore[arg-type,operator]


def _within(value: object, low: float, high: float) -> float | None:
    number = _finite(value)
    return number if number is not None and low <= number <= high else None


def inferred(name: str, values: Iterable[object], catalogue: Mapping[str, Axis]) -> Axis | None:
    """The axis that a grid's values span, categorical for text; None where they do not vary."""
    seen = [v for v in dict.fromkeys(values) if v is not None]
    if len(seen) < 2 or name.partition(".")[0] in NOT_AXES:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in seen):
        return Axis(name=name, keys=(name,), choices=tuple(sorted(map(str, seen))))
    numbers = [float(v) for v in seen if isinstance(v, int | float)]
    known = catalogue.get(name)
    scale = known.scale if known else _spacing(numbers)
    scale = scale if min(numbers) > 0 else "linear"
    found = Axis(name=name, keys=(name,), low=min(numbers), high=max(numbers), scale=scale)
    if known is None:
        return found
    ideal = _within(known.ideal, found.low, found.high)
    return replace(found, unit=known.unit, label=known.label, ideal=ideal)


def _spacing(numbers: Sequence[float]) -> str:
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
