"""Which code a configuration may name: classes of crossweep, and of packages that the user lists under ``plugins``.

Files travel between people, and a name in one must never be able to run what its author chose. So a name is judged
before anything is imported, and only classes, and functions marked as a `recipe`, are handed out.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from crossweep.errors import ConfigError

OWN = "crossweep"
F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__crossweep_recipe__"


def recipe(group: str) -> Callable[[F], F]:
    """Mark a function that turns the keys of a node into those of another: a node may name it.

    Args:
        group: of options; what the made node leaves out is as in what they have in common.
    """

    def mark(function: F) -> F:
        setattr(function, _MARK, group)
        return function

    return mark


def is_recipe(found: object) -> bool:
    """Whether ``found`` was marked by `recipe`."""
    return inspect.isfunction(found) and hasattr(found, _MARK)


def group_of(found: object) -> str:
    """The group of a recipe's options."""
    return str(getattr(found, _MARK))


def packages(given: Any) -> tuple[str, ...]:
    """The value of ``plugins``, checked.

    Raises:
        ConfigError: it is no list of names of packages.
    """
    if not isinstance(given, list | tuple) or not all(_is_dotted(name) for name in given):
        raise ConfigError(f"plugins: must be a list of names of packages, got {given!r}")
    return tuple(given)


def require_trusted(dotted: Any, key: str, plugins: Sequence[str]) -> str:
    """``dotted`` as the full name of something in a trusted package; imports nothing.

    Args:
        dotted: ``package.module.Name``.
        key: where it stands, as the user types it.
        plugins: packages trusted beside crossweep.

    Raises:
        ConfigError: it is no such name, or its package is not trusted.
    """
    if not _is_dotted(dotted) or "." not in dotted:
        raise ConfigError(f"{key}: must be the full name of a class, got {dotted!r}")
    if not _within(dotted, plugins):
        raise ConfigError(
            f"{key}: must name a class of crossweep or of a package listed in `plugins`, got {dotted!r}"
        )
    return str(dotted)


def find(dotted: Any, key: str, plugins: Sequence[str]) -> Any:
    """The class or recipe of a trusted package that ``dotted`` names.

    Raises:
        ConfigError: it is not trusted (nothing has been imported), does not exist, or is something else.
    """
    module, _, name = require_trusted(dotted, key, plugins).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{key}: cannot import {dotted!r} ({error})") from error
    # a trusted module also holds what it imported from elsewhere
    if not (inspect.isclass(found) or is_recipe(found)) or not _within(found.__module__, plugins):
        raise ConfigError(f"{key}: must name a class of parameters, got {dotted!r}")
    return found


def _is_dotted(name: Any) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _within(dotted: str, plugins: Sequence[str]) -> bool:
    return any(f"{dotted}.".startswith(f"{package}.") for package in (OWN, *plugins))
