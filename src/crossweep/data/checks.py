"""Rules that the keys of several data sets share; each breach is one line with key, rule and value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossweep.errors import ConfigError


def check_share(key: str, value: Any, *, zero: bool) -> None:
    """A share of the samples [1] is a number in [0, 1), or in (0, 1) where `zero` is False."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1 or (value == 0 and not zero):
        interval = "[0, 1)" if zero else "(0, 1)"
        raise ConfigError(f"`{key}` must be a share in {interval}, got {value!r}")


def check_count(key: str, value: Any, *, least: int) -> None:
    """A count is an integer of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"`{key}` must be an integer >= {least}, got {value!r}")


def check_classes(key: str, classes: Any, n: int, *, least: int = 2) -> None:
    """A list of at least `least` different class numbers in 0..n-1.

    Raises:
        ConfigError: not a list of integers, too short, out of range, or a class twice.
    """
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise ConfigError(f"`{key}` must be a list of class numbers in 0..{n - 1}, got {classes!r}")
    chosen = list(classes)
    if len(chosen) < least:
        raise ConfigError(f"`{key}` must name at least {least} classes in 0..{n - 1}, got {chosen}")
    wrong = [c for c in chosen if not isinstance(c, int) or isinstance(c, bool) or not 0 <= c < n]
    if wrong:
        raise ConfigError(f"`{key}` must hold class numbers in 0..{n - 1}, got {wrong} in {chosen}")
    twice = sorted({c for c in chosen if chosen.count(c) > 1})
    if twice:
        raise ConfigError(f"`{key}` must name each class once, got {twice} more than once in {chosen}")


def check_flag(key: str, value: Any) -> None:
    """A switch is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"`{key}` must be true or false, got {value!r}")


def check_number(key: str, value: Any, *, least: float) -> None:
    """A finite number of at least `least`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value < float("inf"):
        raise ConfigError(f"`{key}` must be a number >= {least:g}, got {value!r}")
