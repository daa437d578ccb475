"""Every key of every option against a matrix of bad values: one line that begins with the key as the user types it.

The keys come from the composed configuration, so a new one is in the table without being listed. What must be refused
follows from the value that a yaml holds: a whole number stands for a count, one with a decimal point for a real number.
"""

import copy
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from crossweep.build import build, devices, plain, read
from crossweep.configuration import Configuration
from crossweep.devices.base import AbstractDevice
from crossweep.errors import ConfigError
from crossweep.help import keys
from crossweep.nodes import value_of
from crossweep.paths import conf_dir, version_base
from crossweep.schema import hints_of
from crossweep.train import train
from tests.runs import GROUPS

Place = tuple[str, ...]
EVERY = (*GROUPS, "task")
FREE = {"kwargs", "small_kwargs", "options"}  # keywords of other libraries, which judge them themselves
BASE = ("model=mlp", "data=synthetic")  # quick to describe
FITTED = Path(__file__).parent / "fitted_device.yaml"
NEEDED = {"measured": (f"device.file={FITTED}",), "timm": ("model.name=resnet10t",)}  # what has no default

NOT_NUMBERS = (
    math.inf,
    -math.inf,
    math.nan,
    True,
    False,
    "text",
    "",
    "1",
    [],
    [1],
    {},
    {"a": 1},
    1e30,
    -1e30,
    10**400,
)
NOT_FLAGS = (0, 1, 1.0, math.nan, "true", "maybe", "", None, [], {}, [True])
NOT_TEXTS = (math.inf, math.nan, 1, 0, -1, 2.5, True, "", " ", None, [], ["text"], {})
NOT_LISTS = (math.inf, math.nan, 1, 2.5, True, "text", "", None, {}, [math.nan], [True, None], [{}])
NOT_AUTO = (math.inf, math.nan, True, 2.5, "", [], {})  # other keys take a number instead
NOT_NULL = (math.inf, -math.inf, math.nan, [], [1], {"a": 1}, 1e30, "")


def bad_for(value: Any) -> tuple[Any, ...]:
    """What must be refused in place of a value from a yaml."""
    if isinstance(value, bool):
        return NOT_FLAGS
    if isinstance(value, int):
        return (*NOT_NUMBERS, 1.5, value + 0.25)
    if isinstance(value, float):
        return NOT_NUMBERS
    if isinstance(value, str):
        return NOT_AUTO if value == "auto" else NOT_TEXTS
    if isinstance(value, list):
        return NOT_LISTS
    return NOT_NULL if value is None else ()


def leaves(tree: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every key that holds no further keys, with its value."""
    for key, value in tree.items():
        if isinstance(value, dict) and key not in FREE:
            yield from leaves(value, (*path, key))
        elif key not in FREE and key != "_target_":
            yield (*path, key), value


@cache
def composed(*words: str) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir()), **version_base()):
        return plain(compose("train", overrides=list(words)))


@cache
def options(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("[!_]*.yaml"))


def chosen(group: str, option: str) -> dict[str, Any]:
    """A configuration with this option; those of the other groups go along, so that a few hold all options."""
    place = options(group).index(option)
    others = {name: options(name)[place % len(options(name))] for name in EVERY}
    needed = [word for name in others.values() for word in NEEDED.get(name, ())]
    return composed(*(f"{name}={value}" for name, value in others.items()), *needed)


def check(cfg: dict[str, Any], group: str) -> None:
    """What an entry point does with this group before anything else."""
    hint = AbstractDevice if group == "device" else hints_of(Configuration)[group]
    value_of(cfg[group], hint, group, ())


def changed(cfg: dict[str, Any], path: Place, value: Any) -> dict[str, Any]:
    """The configuration with one value changed; the rest is shared."""
    found = copy.copy(cfg)
    inner = found
    for key in path[:-1]:
        inner[key] = copy.copy(inner[key])
        inner = inner[key]
    inner[path[-1]] = value
    return found


def faults(cfg: dict[str, Any], path: Place, value: Any) -> Iterator[str]:
    """What is wrong with the treatment of this key."""
    key = ".".join(path)
    for bad in bad_for(value):
        try:
            check(changed(cfg, path, bad), path[0])
        except ConfigError as error:
            if not str(error).startswith(f"{key}: ") or "\n" in str(error) or "got " not in str(error):
                yield f"{key}={bad!r}: says {error}"
        else:
            yield f"{key}={bad!r}: accepted"
    # whether zero, a negative number or null is right differs from key to key: either it is, or the key is named
    for doubtful in (0, -1, -0.5, 10**6, None):
        try:
            check(changed(cfg, path, doubtful), path[0])
        except ConfigError as error:
            named = str(error).partition(": ")[0].split(", ")
            names = {named[0], *(path[0] + "".join(f".{p}" for p in path[1:-1]) + name for name in named[1:])}
            if key not in names or "\n" in str(error):
                yield f"{key}={doubtful!r}: says {error}"


@pytest.mark.parametrize("group", EVERY)
def test_every_key_of_every_option_refuses_what_it_cannot_mean(group: str) -> None:
    found, seen = [], set()
    for option in options(group):
        cfg = chosen(group, option)
        for path, value in leaves(cfg[group], (group,)):
            # options of one class share the rules of its fields, and so does every option of a group without classes
            owner = (cfg[group].get("_target_"), path, type(value))
            if path[1] not in ("fitted", "file") and owner not in seen:
                seen.add(owner)
                found += faults(cfg, path, value)
    assert seen and not found, "\n".join(found)


@pytest.mark.parametrize("group", EVERY)
def test_help_tells_rule_and_meaning_of_every_key_of_every_option(group: str) -> None:
    bare = []
    for option in options(group):
        cfg = chosen(group, option)
        told = {key.name: key for key in keys(cfg)}
        for path, _ in leaves(cfg[group], (group,)):
            key = told[".".join(path)]
            if path[1] != "fitted" and not (key.meaning and (key.rule or path[-1] == "fitted")):
                bare.append(f"{option}: {key}")
    assert not bare, "\n".join(bare)


def test_every_other_key_refuses_what_it_cannot_mean() -> None:
    cfg = composed(*BASE)
    rest = {key: value for key, value in cfg.items() if key not in EVERY and value != {} and key != "axis"}
    found = [text for path, value in leaves(rest) for text in faults(cfg, path, value)]
    assert not found, "\n".join(found)


def test_a_device_of_one_role_is_named_by_its_role() -> None:
    with initialize_config_dir(str(conf_dir()), **version_base()):
        words = ("device@device.fast=capacitor", "device@device.slow=reram_om", "device=ideal")
        cfg = plain(compose("train", overrides=[*BASE, *words]))
    for role in ("fast", "slow"):
        for path, _ in leaves(cfg["device"][role], ("device", role)):
            with pytest.raises(ConfigError, match="^" + re.escape(".".join(path)) + ": must be .* got nan"):
                devices(changed(cfg, path, math.nan))


@pytest.mark.parametrize("key", ["algorithm", "noise", "seed", "data"])
def test_an_entry_point_checks_the_whole_configuration_first(key: str, tmp_path: Path) -> None:
    path, _ = next(leaves(composed(*BASE)[key], (key,)))
    bad = changed(composed(*BASE), path, [])
    for entry in (read, build, lambda cfg: train(cfg, tmp_path / "run", choices={}, overrides=[])):
        with pytest.raises(ConfigError, match="^" + re.escape(".".join(path)) + ": "):
            entry(bad)
    assert not (tmp_path / "run").exists()
