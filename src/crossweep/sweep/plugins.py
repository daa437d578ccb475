"""Parts by name: ``name``, ``{name: ..., option: ...}``, or any class: ``{target: package.Class, ...}``."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crossweep.errors import ConfigError
from crossweep.sweep.settings import Settings
from crossweep.trust import require_trusted


def split(spec: Any, kind: str) -> tuple[str | None, dict[str, Any]]:
    """Name and options of a part; the name is None for ``{target: ...}``.

    Raises:
        ConfigError: neither a name nor a mapping with ``name`` or ``target``.
    """
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and ("name" in spec) != ("target" in spec):
        options = {str(key): value for key, value in spec.items() if key != "name"}
        return spec.get("name"), options
    raise ConfigError(
        f"study.{kind}: a name, {{name: ..., option: ...}} or {{target: package.Class, ...}}, got {spec!r}"
    )


def choose(
    spec: Any, kind: str, known: Mapping[str, Callable[..., Any]]
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The callable behind a part and its options.

    Raises:
        ConfigError: no such part.
    """
    name, options = split(spec, kind)
    if name is None:
        return locate(str(options.pop("target")), f"study.{kind}.target"), options
    if name not in known:
        raise ConfigError(f"study.{kind}: one of {', '.join(known)}, got {name!r}")
    return known[name], options


def call(part: Callable[..., Any], options: Mapping[str, Any], kind: str) -> Any:
    """``part(**options)`` with unknown options reported as configuration errors.

    Raises:
        ConfigError: an option that the part does not take, or a value that it refuses.
    """
    accepted = inspect.signature(part).parameters
    takes_any = any(item.kind is item.VAR_KEYWORD for item in accepted.values())
    for name in options:
        if name not in accepted and not takes_any:
            raise ConfigError(f"study.{kind}.{name}: no such option; known are {', '.join(accepted)}")
    try:
        return part(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"study.{kind}: {error}") from error


def require_known(settings: Settings, plugins: Sequence[str]) -> None:
    """Refuse parts of a study from packages other than crossweep, Optuna and those that the user lists.

    Raises:
        ConfigError: a part names another package; nothing has been imported.
    """
    trusted = ("optuna", *plugins)
    for kind in ("sampler", "pruner", "storage"):
        spec, key = getattr(settings, kind), f"study.{kind}"
        while isinstance(spec, Mapping):
            if "target" in spec:
                require_trusted(spec["target"], f"{key}.target", trusted)
            spec, key = spec.get("inner"), f"{key}.inner"
    for kind in ("table", "report"):
        if (dotted := getattr(settings, kind)) is not None:
            require_trusted(dotted, f"study.{kind}", trusted)


def locate(dotted: str, key: str) -> Any:
    """The object behind ``package.module.name``.

    Raises:
        ConfigError: it cannot be imported.
    """
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}: cannot import {dotted!r} ({error})") from error
