"""Configurations made inside a program: the words of a command line, composed by Hydra from the same files.

Hydra keeps what it is doing in globals. They are lent for one composition or run at a time and then given back, so that
this works in notebooks, in threads and inside another Hydra program.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from crossweep.devices import measured
from crossweep.errors import ConfigError
from crossweep.paths import conf_dir, version_base
from crossweep.sweep.axes import override_text
from crossweep.sweep.refusals import reason
from crossweep.sweep.resolvers import register
from crossweep.trust import OWN

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

Overrides = Mapping[str, Any] | Sequence[str]
"""``{"symmetry_point.skew": 0.1}``, or words of the command line, ``["symmetry_point.skew=0.1"]``."""

# the content of a fitted device becomes part of the configuration, so of the record and of the folder's name
register("crossweep_yaml", measured.read)
_ONE_AT_A_TIME = threading.RLock()
_GIVEN = "given_"  # begins the name of an option that stands for an object; no file is called so


def words(overrides: Overrides, options: Mapping[str, Any]) -> list[str]:
    """Overrides and keywords as words of a command line.

    Raises:
        ConfigError: a value that no word can say.
    """
    if isinstance(overrides, str):
        overrides = [overrides]
    listed = [] if isinstance(overrides, Mapping) else list(overrides)
    pairs = {**(overrides if isinstance(overrides, Mapping) else {}), **options}
    return listed + [f"{key}={_text(key, value)}" for key, value in pairs.items()]


def _text(key: str, value: Any) -> str:
    def plain_value(one: Any) -> bool:
        if isinstance(one, Mapping):
            return all(plain_value(item) for item in one.values())
        if isinstance(one, list | tuple):
            return all(plain_value(item) for item in one)
        return one is None or isinstance(one, bool | int | float | str)

    if not plain_value(value):
        raise ConfigError(f"{key}: must be a number, a text, a list or a mapping of these, got {value!r}")
    return override_text(value)


@contextmanager
def hydra_lent() -> Iterator["Hydra"]:
    """Hydra, ready to compose ``train``; whatever a program does with it outside is untouched."""
    with _ONE_AT_A_TIME:
        outside = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(conf_dir()), job_name="train", **version_base()):
                lent = GlobalHydra.instance().hydra
                assert lent is not None
                yield lent
        finally:
            GlobalHydra.instance().hydra = outside


@contextmanager
def understood(given: Sequence[str]) -> Iterator[None]:
    """Around what composes ``given`` words.

    Raises:
        ConfigError: what Hydra refuses, on one line, with what may have been meant.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(reason(error, lambda: _known(given))) from error


def _known(given: Sequence[str]) -> dict[str, Any]:
    """The configuration of the words that choose options, else the default one: where a wrong key is looked for."""
    with hydra_lent():
        for tried in ([word for word in given if "." not in word.partition("=")[0]], []):
            try:
                found = OmegaConf.to_container(compose("train", overrides=tried), resolve=False)
            except (HydraException, OmegaConfBaseException):
                continue
            assert isinstance(found, dict)
            return {str(key): value for key, value in found.items()}
    return {}


def composed(given: Sequence[str], objects: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The plain configuration that ``crossweep-train WORD...`` would run.

    Args:
        given: the words.
        objects: for a group, a dataclass of parameters that takes the place of an option; its package is added to the
            ``plugins``.

    Raises:
        ConfigError: a word, or an object, that nothing can be made of.
    """
    from crossweep.build import plain

    objects = objects or {}
    with understood(given), hydra_lent(), _offered(objects) as choices:
        cfg = compose("train", overrides=[*choices, *given])
        assert isinstance(cfg, DictConfig)
        config = plain(cfg)
    theirs = {type(one).__module__.partition(".")[0] for one in objects.values()} - {OWN}
    return {**config, "plugins": [*config["plugins"], *sorted(theirs)]}


@contextmanager
def _offered(objects: Mapping[str, Any]) -> Iterator[list[str]]:
    """Options of Hydra's for objects, as long as this lasts; the words that choose them."""
    store, choices = ConfigStore.instance(), []
    try:
        for group, one in objects.items():
            if not is_dataclass(one) or isinstance(one, type):
                raise ConfigError(
                    f"{group}: must be the name of an option or a dataclass of parameters, got {one!r}"
                )
            name = f"{_GIVEN}{type(one).__name__}"
            store.store(name, _node(one), group=group)
            choices.append(f"{group}={name}")
        yield choices
    finally:
        for choice in choices:
            group, _, name = choice.partition("=")
            del store.repo[group][f"{name}.yaml"]


def _node(value: Any) -> Any:
    """An object as the node that describes it."""
    if is_dataclass(value):
        own = {f.name: _node(getattr(value, f.name)) for f in fields(value) if f.init}
        return {"_target_": f"{type(value).__module__}.{type(value).__qualname__}"} | own
    if isinstance(value, Mapping):
        return {key: _node(item) for key, item in value.items()}
    return [_node(item) for item in value] if isinstance(value, list | tuple) else value
