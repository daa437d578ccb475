"""Single options of the configuration as objects."""

from functools import cache
from typing import Any, TypeVar, get_args, overload

from crossweep import options, schema
from crossweep.composition import Overrides, composed, words
from crossweep.configuration import Configuration
from crossweep.configured import ROLES
from crossweep.devices.base import AbstractDevice
from crossweep.errors import ConfigError
from crossweep.nodes import fill, make
from crossweep.trust import OWN, packages

T = TypeVar("T")


@overload
def option(kind: type[T], name: str | None = None, overrides: Overrides = (), **changes: Any) -> T: ...
@overload
def option(kind: str, name: str | None = None, overrides: Overrides = (), **changes: Any) -> Any: ...
def option(kind: Any, name: str | None = None, overrides: Overrides = (), **changes: Any) -> Any:
    """The parameters that an option of the configuration describes; classes have no numbers of their own.

    What it returns is frozen and kept, so that asking again costs nothing; ``dataclasses.replace`` changes a copy.

    Args:
        kind: a group, or a class of parameters: ``"device"``, ``CTTv2``.
        name: the option; None: that of the class (where several name it, the one that is called like its module), for a
            group the configuration's default. With a class of your own below the option's, or below what a file like
            ``_buffered`` is made for, an object of yours with the option's numbers.
        overrides: what else is to be composed, as on the command line: ``["hydra.searchpath=[file://mine]"]``.
        changes: keys of the option: ``dw_min=0.01``, ``**{"update.desired_bl": 5}``.

    Raises:
        ConfigError: there is no such option, it describes something else, or a key or value breaks its rule.

    Example:
        >>> rule = crossweep.option(CTTv2, transfer_every=2.0)
        >>> device = crossweep.option("device", "reram_om", dw_min=0.05)
        >>> model = crossweep.convert(net, device, rule)
    """
    group = kind if isinstance(kind, str) else _group(kind)
    if group not in _groups():
        raise ConfigError(f"option: must be a class or one of {', '.join(_groups())}, got {group!r}")
    if name is None and group != kind and kind is not _groups()[group]:
        name = name_of(group, kind)
    chosen = [] if name is None else [f"{group}={name}"]
    given = words(overrides, {f"{group}.{key}": value for key, value in changes.items()})
    return _option(kind, group, (*chosen, *given))


def name_of(group: str, kind: type) -> str:
    """The option that names a class.

    Raises:
        ConfigError: none of crossweep's does.
    """
    if (found := options.named(group, _full_name(kind))) is None:
        name = kind.__name__
        raise ConfigError(
            f"{group}: no option of crossweep names the class {name}; whose numbers? crossweep.option({name}, NAME)"
        )
    return found


@cache
def _option(kind: Any, group: str, given: tuple[str, ...]) -> Any:
    config = composed(given)
    plugins, whole = packages(config["plugins"]), _groups()[group]
    node = {key: value for key, value in config[group].items() if group != "device" or key not in ROLES}
    own = kind if isinstance(kind, type) else whole
    made = make(node, group, whole, plugins) if "_target_" in node else None
    if made is not None and isinstance(made, own):
        return made
    if made is not None and not issubclass(own, type(made)):
        raise ConfigError(f"{group}: must describe {own.__name__}, got {type(made).__name__}")
    return fill(own, {key: value for key, value in node.items() if key != "_target_"}, group, plugins)


@cache
def _groups() -> dict[str, type]:
    """What the parts of a configuration describe."""
    found: dict[str, type] = {"device": AbstractDevice}
    for name, hint in schema.hints_of(Configuration).items():
        for kind in (hint, *get_args(hint)):
            if isinstance(kind, type) and kind.__module__.startswith(OWN):
                found[name] = kind
    return found


def _group(kind: type) -> str:
    for group, whole in _groups().items():
        if issubclass(kind, whole):
            return group
    raise ConfigError(f"option: {kind.__name__} is described by none of the groups {', '.join(_groups())}")


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
