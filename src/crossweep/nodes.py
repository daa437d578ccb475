"""Nodes into objects: the only place where a yaml's values meet the classes they describe.

A node with ``_target_`` names a frozen dataclass; its other keys are the fields. Every key and value is
checked here, before anything trains, and a mistake is one line: the full key, the rule, the value.
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from crossweep import options, schema, trust
from crossweep.errors import ConfigError, FieldError

Node = Mapping[str, Any]
T = TypeVar("T")


def make(node: Node, key: str, kind: type = object, plugins: Sequence[str] = ()) -> Any:
    """The object that a node with ``_target_`` describes.

    Args:
        node: ``_target_`` and the fields of the class that it names.
        key: where it stands, as the user types it.
        kind: what the class must be.
        plugins: packages beside crossweep whose classes may be named.

    Raises:
        ConfigError: the class may not be named, is of another kind, or a field breaks its rule.
    """
    found = trust.find(node.get("_target_"), f"{key}._target_", plugins)
    if trust.is_recipe(found):
        made = _recipe(found, node, key, plugins)
        cls = trust.find(made.get("_target_"), f"{key}._target_", plugins)
        return make({**options.common(trust.group_of(found), cls), **made}, key, kind, plugins)
    if not (dataclasses.is_dataclass(found) and isinstance(found, type) and issubclass(found, kind)):
        raise ConfigError(
            f"{key}._target_: must name a subclass of {kind.__name__}, got {node['_target_']!r}"
        )
    return fill(found, {k: v for k, v in node.items() if k != "_target_"}, key, plugins)


def _recipe(function: Callable[..., Node], node: Node, key: str, plugins: Sequence[str]) -> Node:
    """The node that a function makes of its keys; keys that the function does not name pass through."""
    hints = schema.hints_of(function)

    def value(name: str, given: Any) -> Any:  # a node handed over as it is must not become an object yet
        raw = name not in hints or get_origin(hints[name]) is Mapping
        return given if raw else value_of(given, hints[name], f"{key}.{name}", plugins)

    try:
        return function(**{name: value(name, given) for name, given in node.items() if name != "_target_"})
    except FieldError as error:
        raise ConfigError(f"{key}.{error}") from error


def fill(cls: type[T], node: Node, key: str, plugins: Sequence[str] = ()) -> T:
    """An instance of a dataclass from plain values, each checked against the field's annotation.

    Args:
        cls: the dataclass.
        node: values by the field's name; a mapping stands for a dataclass of parameters, or names one.
        key: where the node stands, as the user types it; empty for the whole configuration.
        plugins: packages beside crossweep whose classes may be named.

    Raises:
        ConfigError: an unknown or missing key, or a value that breaks its rule.
    """
    prefix, hints = f"{key}." if key else "", schema.hints_of(cls)
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for name in node:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f", did you mean {near[0]}?" if near else f"; it has {', '.join(known)}"
            what = f"is no parameter of {cls.__name__}" if key else "is read by nothing"
            raise ConfigError(f"{prefix}{name}: {what}{hint}")
    values = {name: value_of(value, hints[name], f"{prefix}{name}", plugins) for name, value in node.items()}
    for name, field in known.items():
        if name not in values and schema.required(field):
            raise ConfigError(f"{prefix}{name}: must be given, {cls.__name__} needs it")
    try:
        return cls(**values)
    except FieldError as error:
        raise ConfigError(f"{prefix}{error}") from error


def value_of(value: Any, hint: Any, key: str, plugins: Sequence[str]) -> Any:
    """``value`` as the annotation wants it, nodes made into what they describe."""
    kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and kind is not type(None)]
    if not isinstance(value, Mapping) or (kinds and set(kinds) <= schema.PLAIN):  # a number is no object
        return schema.checked(value, hint, key)
    if (
        "_target_" in value and get_origin(hint) is not Mapping
    ):  # a field for plain keys keeps the node as it is
        return make(value, key, kinds[0] if kinds else object, plugins)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return fill(hint, value, key, plugins)
    if get_origin(hint) is Mapping and dataclasses.is_dataclass(get_args(hint)[1]):
        return {name: fill(get_args(hint)[1], node, f"{key}.{name}", plugins) for name, node in value.items()}
    return schema.checked(value, hint, key)
