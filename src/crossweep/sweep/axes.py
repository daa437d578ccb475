"""What a sweep does with an axis: its values, Optuna's view of it, Hydra's overrides, its yaml."""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from crossweep.axis import Axis
from crossweep.errors import ConfigError, FieldError
from crossweep.schema import checked

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
# text that Hydra would read as a number, a flag or nothing has to be quoted to stay text
_READ_AS_OTHER = re.compile(r"(?i)true|false|null|nan|[-+]?inf|[-+]?[0-9_.]+(e[-+]?[0-9]+)?")


def distribution(axis: Axis) -> "BaseDistribution":
    """The axis as Optuna sees it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.choices is not None:
        return CategoricalDistribution([_hashable(choice) for choice in axis.choices])
    low, high = axis.ends
    if axis.integer:
        step = 1 if axis.step is None else int(axis.step)
        return IntDistribution(int(low), int(high), log=axis.log, step=step)
    return FloatDistribution(float(low), float(high), log=axis.log, step=axis.step)


def grid(axis: Axis) -> list[Any]:
    """The grid sampler's values along the axis."""
    if axis.choices is not None:
        return [_hashable(choice) for choice in axis.choices]
    low, high = axis.ends
    if isinstance(axis.points, tuple):
        values = list(axis.points)
    elif axis.step is not None:
        count = math.floor((high - low) / axis.step + 1e-9) + 1
        # rounded, because 3 * 0.1 is not 0.3 and would fall off the end of the axis
        values = [min(round(low + i * axis.step, 12), high) for i in range(count)]
    elif axis.integer and high - low < axis.points:
        values = [low + i for i in range(int(high - low) + 1)]
    else:
        values = [_at(axis, i / (axis.points - 1)) for i in range(axis.points)]
    return list(dict.fromkeys(round(value) for value in values)) if axis.integer else values


def _at(axis: Axis, share: float) -> float:
    # in Python's own arithmetic, whose last digit no version of a library changes: a study that goes on finds its cells
    low, high = axis.ends
    return float(low * (high / low) ** share if axis.log else low + (high - low) * share)


def contains(axis: Axis, value: Any) -> bool:
    """Whether a fixed value lies on the axis."""
    if axis.choices is not None:
        return _hashable(value) in [_hashable(choice) for choice in axis.choices]
    low, high = axis.ends
    return isinstance(value, int | float) and low <= value <= high


def overrides(axis: Axis, value: Any) -> list[str]:
    """Hydra overrides that set every key of the axis."""
    return [f"{'+' if axis.add else ''}{key}={literal(value)}" for key in axis.keys]


_YAML = {item.name for item in fields(Axis)} - {"name", "add", "integer", "configured", "microsiemens"} | {
    "int"
}


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
    if not keys and choices is None:
        raise ConfigError(f"axis.{name}.keys: at least one configuration key")
    if isinstance(content.get("points"), list):
        content["points"] = tuple(content["points"])
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


def override_text(value: Any) -> str:
    """A value, list or mapping in Hydra's override grammar."""
    inner = _hashable(value)
    return inner if isinstance(value, Mapping) or _is_list(value) else literal(inner)


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
