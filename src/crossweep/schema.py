"""The one rule for input: what a field of a dataclass of parameters accepts follows from its annotation.

``Annotated[float, Range(least=0)]`` and the shorthands below carry the range; `checked` applies the annotation to a
value that somebody typed, `Checked` to objects made in Python. Numbers are finite and at most `LARGEST` in size unless
a range says more.
"""

import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from crossweep.errors import ConfigError, FieldError

LARGEST = 1e9  # of any number that names no other bound: beyond it a typing mistake is likelier than a wish


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from ``least`` (included) or ``above`` (excluded) to ``most`` (included) or ``below`` (excluded)."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def accepts(self, value: float) -> bool:
        """Whether a finite number lies in the range."""
        low = value >= self.least if self.least is not None else self.above is None or value > self.above
        high = value <= self.most if self.most is not None else self.below is None or value < self.below
        return low and high and abs(value) <= max(LARGEST, self.most or 0.0)

    def __str__(self) -> str:
        low, high = (
            self.least if self.above is None else self.above,
            self.most if self.below is None else self.below,
        )
        if low is not None and high is not None:
            shut = "(" if self.above is not None else "[", ")" if self.below is not None else "]"
            return f"in {shut[0]}{low}, {high}{shut[1]}"
        if low is not None:
            return f"{'>=' if self.above is None else '>'} {low}"
        return "" if high is None else f"{'<=' if self.below is None else '<'} {high}"


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list of at least ``least`` items, all different where ``distinct``."""

    least: int = 0
    distinct: bool = False

    def accepts(self, value: Sequence[Any]) -> bool:
        """Whether a list keeps the rule."""
        return len(value) >= self.least and not (self.distinct and len({*map(repr, value)}) < len(value))

    def __str__(self) -> str:
        many = f"at least {self.least} " if self.least else ""
        return f"a list of {many}{'different ' * self.distinct}"


Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(least=0, most=1)]
ProperShare = Annotated[float, Range(least=0, below=1)]
PositiveShare = Annotated[float, Range(above=0, most=1)]
Asymmetry = Annotated[float, Range(above=-1, below=1)]
Whole = Annotated[int, Range(least=0)]
Count = Annotated[int, Range(least=1)]
Seed = Annotated[int, Range(least=0, most=2**63 - 1)]


class Checked:
    """Base of the dataclasses of parameters: every field keeps the rule of its annotation."""

    def __post_init__(self) -> None:
        hints = hints_of(type(self))
        for field in fields(self):  # type: ignore[arg-type]
            if field.init:
                value = getattr(self, field.name)
                if not fits(value, hints[field.name])[0]:
                    raise FieldError(field.name, broken(value, hints[field.name]))


def hints_of(owner: Any) -> dict[str, Any]:
    """Annotations of a class or a function, ranges included."""
    return _hints(owner)


@cache
def _hints(owner: Any) -> dict[str, Any]:
    return get_type_hints(owner, include_extras=True)


def checked(value: Any, hint: Any, key: str) -> Any:
    """``value`` as the annotation wants it: whole numbers become float, lists tuples.

    Raises:
        ConfigError: it breaks the rule.
    """
    accepted, converted = fits(value, hint)
    if not accepted:
        raise ConfigError(f"{key}: {broken(value, hint)}")
    return converted


def broken(value: Any, hint: Any) -> str:
    """The rule and the value that breaks it."""
    size = (
        f", finite and at most {LARGEST:g} in size" if _is_number(value) and not abs(value) <= LARGEST else ""
    )
    return f"must be {rule(hint)}{size}, got {value!r}"


def fits(value: Any, hint: Any) -> tuple[bool, Any]:  # noqa: PLR0911  (one return per kind of type)
    """Whether ``value`` keeps the annotation, and the value as the annotation wants it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True, value
    if origin is Annotated:
        inner = arguments[0]
        accepted, converted = _number(value, inner) if inner in (int, float) else fits(value, inner)
        rules = [extra for extra in arguments[1:] if hasattr(extra, "accepts")]
        return accepted and all(extra.accepts(converted) for extra in rules), converted
    if origin in (Union, types.UnionType):
        tries = [fits(value, option) for option in arguments]
        return next((t for t in tries if t[0]), (False, value))
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in arguments), value
    if hint in (int, float):
        accepted, converted = _number(value, hint)
        return accepted and Range().accepts(converted), converted
    if hint is str:
        return isinstance(value, str) and bool(value.strip()), value
    if origin in (tuple, list, Sequence) or hint in (tuple, list, Sequence):
        if not isinstance(value, list | tuple):
            return False, value
        checks = [fits(item, arguments[0]) if arguments else (True, item) for item in value]
        return all(ok for ok, _ in checks), tuple(item for _, item in checks)
    kind = origin or hint
    return (isinstance(value, kind) if isinstance(kind, type) else True), value


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _number(value: Any, kind: type) -> tuple[bool, Any]:
    # whole numbers in a text have any size, so some have no float
    if not _is_number(value) or not abs(value) < 1e300 or (kind is int and not isinstance(value, Integral)):
        return False, value
    return True, kind(value)


def rule(hint: Any) -> str:  # noqa: PLR0911  (one return per kind of type)
    """The annotation in words: ``a number > 0 or null``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        words = [str(extra) for extra in arguments[1:] if str(extra)]
        if isinstance(arguments[1], Items):
            inner = get_args(arguments[0])
            return words[0] + (_plural(rule(inner[0])) if inner else "items")
        return " ".join([rule(arguments[0]), *words])
    if origin is Literal:
        options = ", ".join(repr(option) for option in arguments)
        return options if len(arguments) == 1 else f"one of {options}"
    if origin in (Union, types.UnionType):
        return " or ".join(rule(option) for option in arguments)
    if origin in (tuple, list, Sequence) or hint in (tuple, list, Sequence):
        return "a list of " + _plural(rule(arguments[0])) if arguments else "a list"
    if origin is Mapping or hint in (Mapping, dict):
        return "a mapping"
    if origin is Callable:
        return "a class of parameters"
    return _WORDS.get(hint, str(getattr(hint, "__name__", hint)))


_WORDS: dict[Any, str] = {
    float: "a number",
    int: "a whole number",
    str: "a text that is not empty",
    bool: "true or false",
    type(None): "null",
    Any: "anything",
}


PLAIN = {float, int, str, bool}


def _plural(words: str) -> str:
    words = words.removesuffix(" that is not empty")
    return re.sub(r"^an? ((?:whole )?\w+)", r"\1s", words).replace("one of", "any of")


def required(field: Any) -> bool:
    """Whether a field of a dataclass has no default."""
    return field.default is MISSING and field.default_factory is MISSING
