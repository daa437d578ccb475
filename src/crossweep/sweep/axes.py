"""One axis of a study: a named range that drives one or more configuration keys."""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from crossweep.errors import ConfigError, FieldError
from crossweep.schema import Checked, Positive, Range, checked

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
# text that Hydra would read as a number, a flag or nothing has to be quoted to stay text
_READ_AS_OTHER = re.compile(r"(?i)true|false|null|nan|[-+]?inf|[-+]?[0-9_.]+(e[-+]?[0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class Axis(Checked):
    """A parameter of the study.

    Args:
        name: what Optuna, tables and figures call it.
        keys: configuration keys or groups that all receive the value; none for a switch, a categorical axis
            that only decides which others exist.
        low, high: range [unit], both included (with ``step``: the last grid point).
        scale: ``linear`` or ``log``.
        integer: whole numbers only.
        step: spacing [unit] of a stepped axis.
        choices: the values of a categorical axis, instead of a range.
        points: number of grid cells along a continuous axis, for the grid sampler.
        unit, label, source: for tables and figures, and where the range comes from.
        ideal: the harmless end; default ``low``.
        nominal: the usual value; default is what the configuration holds.
        when: ``{axis or config key: value(s)}``: the axis exists only where all hold.
        add: the keys are new to the configuration (Hydra's ``+key=value``).
    """

    name: str
    keys: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    integer: bool = False
    step: Positive | None = None
    choices: tuple[Any, ...] | None = None
    points: Annotated[int, Range(least=2, most=10_000)] = 7
    unit: str | None = None
    label: str | None = None
    source: str | None = None
    ideal: Any = None
    nominal: Any = None
    when: Mapping[str, tuple[Any, ...]] | None = None
    add: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.keys and self.choices is None:
            raise ConfigError(f"axis.{self.name}.keys: at least one configuration key")
        if self.choices is not None:
            if not self.choices:
                raise ConfigError(f"axis.{self.name}.choices: at least one value")
            return
        if self.low is None or self.high is None or not self.low < self.high:
            raise ConfigError(f"axis.{self.name}: low < high must hold, got low={self.low}, high={self.high}")
        if self.scale == "log" and self.low <= 0:
            raise ConfigError(f"axis.{self.name}.low: positive on a log scale, got {self.low}")
        if self.step is not None and self.scale == "log":
            raise ConfigError(f"axis.{self.name}.step: only on a linear scale, got {self.step}, {self.scale}")

    def distribution(self) -> "BaseDistribution":
        """The axis as Optuna sees it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution([_hashable(choice) for choice in self.choices])
        assert self.low is not None and self.high is not None
        if self.integer:
            step = int(self.step or 1)
            return IntDistribution(int(self.low), int(self.high), log=self.scale == "log", step=step)
        return FloatDistribution(float(self.low), float(self.high), log=self.scale == "log", step=self.step)

    def grid(self) -> list[Any]:
        """The grid sampler's values along this axis."""
        if self.choices is not None:
            return [_hashable(choice) for choice in self.choices]
        assert self.low is not None and self.high is not None
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            # rounded, because 3 * 0.1 is not 0.3 and would fall off the end of the axis
            values = [min(round(self.low + i * self.step, 12), self.high) for i in range(count)]
        elif self.integer and self.high - self.low < self.points:
            values = [self.low + i for i in range(int(self.high - self.low) + 1)]
        else:
            values = [self._at(i / (self.points - 1)) for i in range(self.points)]
        return list(dict.fromkeys(round(value) for value in values)) if self.integer else values

    def contains(self, value: Any) -> bool:
        """Whether a fixed value lies on the axis."""
        if self.choices is not None:
            return _hashable(value) in [_hashable(choice) for choice in self.choices]
        assert self.low is not None and self.high is not None
        return isinstance(value, int | float) and self.low <= value <= self.high

    def overrides(self, value: Any) -> list[str]:
        """Hydra overrides that set every key of the axis."""
        return [f"{'+' if self.add else ''}{key}={literal(value)}" for key in self.keys]

    def _at(self, share: float) -> float:
        assert self.low is not None and self.high is not None
        if self.scale == "log":
            return float(self.low * (self.high / self.low) ** share)
        return float(self.low + (self.high - self.low) * share)


_YAML = {item.name for item in fields(Axis)} - {"name", "add", "integer"} | {"int"}


def from_yaml(name: str, node: Mapping[str, Any]) -> Axis:
    """An axis from its entry below ``axis``.

    Raises:
        ConfigError: an unknown key or a broken rule.
    """
    for key in node:
        if key not in _YAML:
            close = difflib.get_close_matches(str(key), _YAML, n=1)
            hint = f", did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(_YAML))}"
            raise ConfigError(f"axis.{name}.{key}: no such entry{hint}")
    content = dict(node)
    keys = content.pop("keys", [name])
    choices = content.pop("choices", None)
    when = content.pop("when", None)
    integer = content.pop("int", False)
    for entry, value, kind in (("keys", keys, list[str] | str), ("choices", choices, list[Any] | None)):
        checked(value, kind, f"axis.{name}.{entry}")
    checked(integer, bool, f"axis.{name}.int")
    checked(when, Mapping[str, Any] | None, f"axis.{name}.when")
    try:
        return Axis(
            name=name,
            keys=tuple([keys] if isinstance(keys, str) else keys),
            choices=None if choices is None else tuple(choices),
            integer=integer,
            when=None if when is None else conditions(when),
            **content,
        )
    except FieldError as error:
        raise ConfigError(f"axis.{name}.{error}") from error


def conditions(when: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Conditions with every value as a tuple of accepted values."""
    return {key: tuple(value) if _is_list(value) else (value,) for key, value in when.items()}


def literal(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and not _READ_AS_OTHER.fullmatch(text):
        return text
    # choices that are lists or mappings come as override text already;
    # in quotes, Hydra reads a backslash as an escape only before a quote
    return text if text[:1] in "[{" else "'" + re.sub(r"(\\*)('|$)", _escaped, text) + "'"


def _escaped(found: re.Match[str]) -> str:
    backslashes, quote = found.groups()
    return backslashes * 2 + ("\\'" if quote else "")


def _hashable(choice: Any) -> Any:
    """Optuna's categories are scalars: lists and mappings become the text that Hydra parses back."""
    if choice is None or isinstance(choice, bool | int | float | str):
        return choice
    if isinstance(choice, Mapping):
        return "{" + ",".join(f"{key}:{_hashable_text(value)}" for key, value in choice.items()) + "}"
    return "[" + ",".join(_hashable_text(value) for value in choice) + "]"


def _hashable_text(value: Any) -> str:
    inner = _hashable(value)
    return inner if isinstance(inner, str) and inner[:1] in "[{" else literal(inner)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
