"""What Hydra refuses, in one line: the key as it was typed, what would be right, and what may have been meant."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_origin

from crossweep.errors import one_line
from crossweep.schema import hints_of
from crossweep.sweep.settings import Settings
from crossweep.trust import find

_UNKNOWN = re.compile(r"Could not override '([^'@]+)'")
_SEVERAL = re.compile(r"Ambiguous value for argument '([^=]+)=(.*)'")


def reason(error: Exception, known: Callable[[], Mapping[str, Any]]) -> str:
    """One line for an exception of Hydra or OmegaConf.

    Args:
        error: the exception.
        known: gives the configuration without the words that are wrong, nested; asked only where it is needed.
    """
    options = getattr(error, "options", None)
    if options:
        group, _, name = str(getattr(error, "missing_cfg_file", "")).rpartition("/")
        usable = [option for option in options if not option.startswith("_")]
        return f"{group}: must be one of {', '.join(usable)}, got {name!r}{near(name, usable)}"
    if found := _UNKNOWN.match(str(error)):
        inner = str(
            getattr(error.__cause__, "full_key", "")
        )  # of a node that exists, the unknown key within it
        return _unknown(inner if inner.startswith(f"{found[1]}.") else found[1], known())
    if "is not in struct" in str(error) and getattr(
        error, "full_key", None
    ):  # set by us, without Hydra's own words
        return _unknown(str(error.full_key), known())  # type: ignore[attr-defined]
    if found := _SEVERAL.match(str(error)):
        key, value = found.groups()
        return f"{key}: takes one value, got {value}; with -m they run one after another, a list is [{value}]"
    return one_line(error)


def near(name: str, known: Collection[str], owner: str = "") -> str:
    """``, did you mean ...?`` where one of the known names is close; ``owner`` is put in front of it."""
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {owner}{close[0]}?" if close else ""


def _unknown(key: str, config: Mapping[str, Any]) -> str:
    """A key that does not exist: a close one of its node, else of any, else what the node has."""
    owner, _, last = key.rpartition(".")
    node = config
    for part in owner.split(".") if owner else ():
        inner = node.get(part)
        if not isinstance(inner, Mapping):
            return f"{key}: is read by nothing{near(key, _keys(config))}"
        node = inner
    if _takes_any(config, owner):
        return f"{key}: is no key of {owner} yet; +{key}=... adds it"
    names = [str(name) for name in node if not str(name).startswith("_")]
    hint = near(last, names, f"{owner}." if owner else "")
    return f"{key}: is read by nothing" + (hint or f"; {owner or 'it'} has {', '.join(names)}")


def _takes_any(config: Mapping[str, Any], owner: str) -> bool:
    """Whether a node may have any keys, such as the keywords of a timm model or the parameters of a study."""
    above, _, name = owner.rpartition(".")
    node: Any = config
    for part in above.split(".") if above else ():
        node = node[part]
    target = str(node.get("_target_"))
    if above == "study":
        described: Any = Settings
    elif target.startswith("crossweep."):
        described = find(target, above, ())
    else:
        return False
    return get_origin(hints_of(described).get(name)) is Mapping


def _keys(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in config.items():
        found.append(f"{prefix}{name}")
        if isinstance(value, Mapping):
            found += _keys(value, f"{prefix}{name}.")
    return found
