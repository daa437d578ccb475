"""What ``--help`` says about every key, on one line: value, unit and meaning, from the annotations and docstrings."""

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from crossweep import schema, trust
from crossweep.axis import Axis
from crossweep.configuration import Configuration
from crossweep.devices.base import AbstractDevice
from crossweep.errors import ConfigError
from crossweep.sweep.axes import literal
from crossweep.sweep.settings import Settings

WIDTH = 100  # columns
_GROUP = 16  # of them for the name of a group
_VALUES = 36  # of them for key and value
_UNITS = 14  # of them for the unit
# nodes that stay plain in a `Configuration`, and what checks them later
_LATER: dict[str, Any] = {"device": AbstractDevice, "study": Settings, "axis": Mapping[str, Axis]}

_NUMBER = r"-?\d[\d.]*"
_UNIT = re.compile(r" ?\[([^][]+)\]")
_RANGE = re.compile(rf",? (?:in )?(?:[<>]=? {_NUMBER}|[\[(]?{_NUMBER}(?:\.\.|, ){_NUMBER}[\])]?)(?=;|$)")


@dataclass(frozen=True)
class Key:
    """One key of a configuration: its full name, its value (None for a node), the rule in words, the meaning."""

    name: str
    value: str | None
    rule: str
    meaning: str


def text(cfg: Mapping[str, Any]) -> str:
    """The whole list, a line of at most ``WIDTH`` columns for each key unless its value alone is longer.

    Args:
        cfg: plain configuration; interpolations need not be resolved.
    """
    return "\n".join(_line(key) for key in keys(cfg))


def groups(options: Mapping[str, Sequence[str]]) -> str:
    """One paragraph per group; options that others are made of, whose names begin with ``_``, are left out."""
    return "\n".join(
        textwrap.fill(
            ", ".join(name for name in names if not name.startswith("_")),
            WIDTH,
            initial_indent=f"{group + ':':<{_GROUP}}",
            subsequent_indent=" " * _GROUP,
            break_on_hyphens=False,
        )
        for group, names in options.items()
    )


def keys(cfg: Mapping[str, Any]) -> list[Key]:
    """Every key of a configuration, in its order.

    Raises:
        ConfigError: a ``_target_`` names what may not be named.
    """
    return list(_keys(cfg, Configuration, "", trust.packages(cfg.get("plugins", ()))))


def _keys(node: Mapping[str, Any], owner: Any, prefix: str, plugins: tuple[str, ...]) -> Iterator[Key]:
    owners = [owner] if owner is not None else []
    if "_target_" in node:
        owners = [*_described(node, prefix, plugins), *owners]
    hints: dict[str, Any] = {}
    said: dict[str, str] = {}
    for one in reversed(owners):
        hints |= schema.hints_of(one)
        said |= meanings(one)
    for name, value in node.items():
        if name == "_target_":
            continue
        full, hint = f"{prefix}{name}", hints.get(name, Any)
        if isinstance(value, Mapping) and (value or not prefix):
            yield Key(full, None, "", said.get(name, ""))
            hint = _LATER.get(full, hint)
            if re.fullmatch(r"device\.(fast|slow)", full):
                hint = owners[0]  # a role's keys are laid over those of the shared device
            yield from _inner(value, hint, f"{full}.", plugins)
        else:
            yield Key(full, _shown(value), *_said(hint, said.get(name, "")))


def _described(node: Mapping[str, Any], prefix: str, plugins: tuple[str, ...]) -> list[Any]:
    """The class or recipe that a node names, and what a recipe makes where its keys are at hand already."""
    found = trust.find(node["_target_"], f"{prefix}_target_", plugins)
    if not trust.is_recipe(found):
        return [found]
    try:
        made = found(**{name: value for name, value in node.items() if name != "_target_"})
    except (TypeError, ConfigError):  # an interpolation, or a value that breaks its rule
        return [found]
    return [found, *_described(made, prefix, plugins)]


def _inner(node: Mapping[str, Any], hint: Any, prefix: str, plugins: tuple[str, ...]) -> Iterator[Key]:
    """The keys of a node that a field of this annotation holds."""
    if get_origin(hint) is Mapping and is_dataclass(get_args(hint)[1]):
        for name, value in node.items():
            yield Key(f"{prefix}{name}", None, "", "")
            yield from _keys(value, get_args(hint)[1], f"{prefix}{name}.", plugins)
        return
    kinds = [kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)]
    yield from _keys(node, kinds[0] if kinds else None, prefix, plugins)


def _shown(value: Any) -> str:
    # an interpolation as the yaml has it, not in the quotes of the command line
    return value if isinstance(value, str) and "${" in value else literal(value)


def _said(hint: Any, meaning: str) -> tuple[str, str]:
    """The rule in words, and the meaning without the range that the rule has just told."""
    if any(get_origin(option) is Annotated for option in (hint, *get_args(hint))):
        meaning = _RANGE.sub("", meaning)
    return "" if hint is Any else schema.rule(hint), meaning


@cache
def meanings(owner: Any) -> dict[str, str]:
    """What the docstring of a class and its bases, or of a function, says of each argument, in one line."""
    found: dict[str, str] = {}
    for one in reversed(owner.__mro__ if isinstance(owner, type) else (owner,)):
        section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", inspect.cleandoc(one.__doc__ or ""), re.MULTILINE)
        items = re.split(r"^    (?=\S)", section[1], flags=re.MULTILINE) if section else []
        for item in items:
            names, _, words = " ".join(item.replace("`", "").split()).partition(": ")
            found |= dict.fromkeys(
                names.split(", "), words if words.endswith("..") else words.removesuffix(".")
            )
    return found


def _line(key: Key) -> str:
    *outer, name = key.name.split(".")
    left = f"{'  ' * len(outer)}{name}:" + ("" if key.value is None else f" {key.value}")
    unit = _UNIT.search(key.meaning)
    left = f"{left:<{_VALUES - 1}} {f'[{unit[1]}]' if unit else '':<{_UNITS - 1}} "
    return (left + _brief(key, WIDTH - len(left))).rstrip()


def _brief(key: Key, room: int) -> str:
    """What fits of the meaning without its unit: all of it, else its first clause or words.

    Of a key that takes one of a few words, these words come first.
    """
    words = _UNIT.sub("", key.meaning)
    clause = re.split(r"; | \(|: ", words)[0]
    options = key.rule.removeprefix("one of ").replace("'", "") if key.rule.startswith("one of ") else ""
    tries = [f"{options}: {words}", f"{options}: {clause}", options] if options else [words, clause]
    return next((one for one in tries if len(one) <= room), _cut(options or clause, room))


def _cut(text: str, room: int) -> str:
    return textwrap.shorten(text, room, placeholder=" ...") if room > len(" ...") else ""
