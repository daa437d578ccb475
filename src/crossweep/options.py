"""The keys of an option of ``conf/`` where there is no Hydra: on a bare machine, in a device's file, in benchmarks.

What Hydra is asked for here is little: lists of ``defaults`` within a group, each a file or ``file@key``, and ``_self_``.
Interpolations stay as they are. `crossweep.option` is the whole of it.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import yaml

from crossweep.paths import conf_dir


def keys(group: str, name: str) -> dict[str, Any]:
    """The keys of an option, or of what options have in common (``_common``)."""
    return deepcopy(_keys(group, name))


@cache
def _keys(group: str, name: str) -> dict[str, Any]:
    own = content(group, name)
    found: dict[str, Any] = {}
    for entry in own.pop("defaults", ["_self_"]):
        # {"/algorithm@then": "ttv2"}, "_update@update" or "_common"
        place, part = next(iter(entry.items())) if isinstance(entry, dict) else (entry, entry)
        file, _, key = part.partition("@")
        key = key or place.rpartition("@")[2] * ("@" in place)
        given = own if file == "_self_" else _keys(group, file)
        _lay_over(found, deepcopy({key: given} if key else given))
    return found


def common(group: str, kind: type) -> dict[str, Any]:
    """What the options of a class have in common: ``_<module>`` of the class or the nearest above it, else ``_common``.

    Args:
        group: of options.
        kind: the class that they name, or one below it.
    """
    there = {file.stem for file in (conf_dir() / group).glob("_*.yaml")}
    modules = (f"_{_module(base.__module__)}" for base in kind.__mro__)
    return keys(group, next((name for name in modules if name in there), "_common"))


def named(group: str, target: str) -> str | None:
    """The option whose file names a class, of several the one that is called like its module; None: there is none."""
    found = [name for name, named in _targets(group) if named == target]
    module = _module(target.rpartition(".")[0])
    return module if module in found else next(iter(found), None)


def content(group: str, name: str) -> dict[str, Any]:
    """What a file says."""
    said: dict[str, Any] = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
    return said


@cache
def _targets(group: str) -> list[tuple[str, str]]:
    files = sorted((conf_dir() / group).glob("[!_]*.yaml"))
    return [(file.stem, content(group, file.stem).get("_target_", "")) for file in files]


def _module(path: str) -> str:
    return path.rpartition(".")[2]


def _lay_over(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(under.get(key), dict):
            _lay_over(under[key], value)
        else:
            under[key] = value
