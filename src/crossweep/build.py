"""Configuration into objects: the only place where a yaml's values meet the classes they describe.

A node with ``_target_`` names a frozen dataclass; its other keys are the fields. Every key and value is
checked here, before anything trains, and a mistake is one line: the full key, the rule, the value.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from crossweep import trust
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.data.base import AbstractData
from crossweep.devices.base import AbstractDevice
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.errors import ConfigError
from crossweep.models.base import AbstractModel
from crossweep.paths import cache_dir
from crossweep.rng import Stream
from crossweep.testbeds.base import AbstractTestbed
from crossweep.testbeds.experiment import TestbedExperiment
from crossweep.tiles.engine.base import AbstractEngine
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.io import IOParameters
from crossweep.tiles.mapping import Mapping as TileMapping
from crossweep.training.settings import FitSettings, OptimizerSettings, Schedule
from crossweep.training.transfer import Conversion, Transfer

Node = Mapping[str, Any]
T = TypeVar("T")


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain dictionaries.

    Raises:
        ConfigError: a mandatory value is missing, or an interpolation cannot be resolved.
    """
    try:
        resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: must be given") from error
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, ConfigError):  # of a resolver of ours
            raise error.__cause__ from error
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def build(cfg: Node) -> Transfer | TestbedExperiment:
    """A complete experiment, or the test-bed that ``task`` names.

    Args:
        cfg: the plain, resolved configuration (see ``plain``).

    Raises:
        ConfigError: a key or a value breaks its rule.
    """
    plugins = trust.packages(cfg["plugins"])
    rule = make(cfg["algorithm"], "algorithm", AbstractAlgorithm, plugins)
    if cfg.get("task"):
        bed = make(cfg["task"], "task", AbstractTestbed, plugins)
        device = torch_device(cfg["compute_device"])
        return TestbedExperiment(bed=bed, rule=rule, factory=tile_factory(cfg, device), torch_device=device)
    training = cfg["training"]
    pretrain = fit_settings(training["pretrain"], "training.pretrain")
    finetune = fit_settings(training["finetune"], "training.finetune")
    device = torch_device(cfg["compute_device"])
    factory = tile_factory(cfg, device)
    if not rule.is_digital:
        _try(rule, factory)
    return Transfer(
        data=make(cfg["data"], "data", AbstractData, plugins),
        model=make(cfg["model"], "model", AbstractModel, plugins),
        model_key=cfg["model"],
        rule=rule,
        factory=factory,
        conversion=conversion(cfg),
        pretrain=pretrain,
        finetune=finetune,
        baselines=baselines(training),
        pretraining_seed=_whole(cfg["seed"]["pretraining"], "seed.pretraining"),
        fresh_devices=_whole(cfg["evaluation"]["fresh_devices"], "evaluation.fresh_devices"),
        cache=cache_dir(),
        torch_device=device,
    )


def _try(rule: AbstractAlgorithm, factory: TileFactory) -> None:
    """Make one weight, so that a rule and devices that do not suit each other are refused before anything trains."""
    apart = dataclasses.replace(factory, population=Stream(0), draws=Stream(0), torch_device="cpu")
    rule.build((1, 1), apart)


# -- parts of the configuration ------------------------------------------------------------------------------------


def devices(cfg: Node) -> tuple[AbstractDevice, AbstractDevice]:
    """The fast and the slow tile's device: the shared one, its overrides by role, then noise and variability."""
    shared = {key: value for key, value in cfg["device"].items() if key not in ("fast", "slow")}
    fast, slow = (_device(shared, cfg["device"].get(role) or {}, cfg, role) for role in ("fast", "slow"))
    return fast, slow


def _device(shared: Node, own: Node, cfg: Node, role: str) -> AbstractDevice:
    # a role with a device of its own starts from that; single keys are laid over the shared device
    node = dict(own) if "_target_" in own else {**shared, **own}
    noise, variability = cfg["noise"], cfg["variability"]
    overlay = {
        "write_noise_std": noise["write"],
        "dw_min_std": noise["pulse"],
        "dw_min_dtod": variability["step"],
        "w_max_dtod": variability["w_max"],
        "w_min_dtod": variability["w_min"],
        "up_down_dtod": variability["asymmetry"],
    }
    node |= {key: value for key, value in overlay.items() if value is not None}
    key = f"device.{role}" if own else "device"
    device: AbstractDevice = make(node, key, AbstractDevice, trust.packages(cfg["plugins"]))
    return device


def periphery(cfg: Node) -> tuple[IOParameters, IOParameters]:
    """Forward and backward reads: the io option, then the noise group's read noise."""
    noise = cfg["noise"]
    overlay = {"out_noise": noise["output"], "inp_noise": noise["input"], "w_noise": noise["weight_read"]}
    given = {key: value for key, value in overlay.items() if value is not None}
    forward, backward = (
        make({**cfg["io"][way], **given}, f"io.{way}", IOParameters, trust.packages(cfg["plugins"]))
        for way in ("forward", "backward")
    )
    return forward, backward


def tile_factory(cfg: Node, device: torch.device) -> TileFactory:
    """Makes the tiles; its streams are those of ``seed.device`` and ``seed.training``."""
    fast, slow = devices(cfg)
    forward, backward = periphery(cfg)
    point = dict(cfg["symmetry_point"])
    tiles = point.pop("tiles")
    return TileFactory(
        fast=fast,
        slow=slow,
        symmetry_point=fill(SymmetryPoint, point, "symmetry_point"),
        symmetry_point_tiles=tiles,
        engine=make(cfg["engine"], "engine", AbstractEngine, trust.packages(cfg["plugins"])),
        forward=forward,
        backward=backward,
        population=Stream(_whole(cfg["seed"]["device"], "seed.device"), "devices"),
        draws=Stream(_whole(cfg["seed"]["training"], "seed.training"), "draws"),
        torch_device=device,
    )


def conversion(cfg: Node) -> Conversion:
    """Which layers become analog, and how."""
    node = dict(cfg["analog"])
    mapping = {key: node.pop(key) for key in ("max_tile_size", "weight_scaling", "omega")}
    noise = cfg["noise"]["weight_transfer"]
    if not isinstance(noise, int | float) or not noise >= 0:
        raise ConfigError(f"noise.weight_transfer: must be a number >= 0, got {noise!r}")
    return fill(
        Conversion,
        {**node, "mapping": fill(TileMapping, mapping, "analog"), "weight_transfer": float(noise)},
        "analog",
    )


def fit_settings(node: Node, key: str) -> FitSettings:
    """One training loop."""
    parts = {
        "optimizer": fill(OptimizerSettings, node["optimizer"], f"{key}.optimizer"),
        "schedule": fill(Schedule, node["schedule"], f"{key}.schedule"),
    }
    return fill(FitSettings, {**node, **parts}, key)


def baselines(training: Node) -> dict[str, OptimizerSettings]:
    """The paired digital runs that are asked for, by name."""
    known = training["baseline_optimizers"]
    wanted = training["baseline"] or []
    if isinstance(wanted, str) or not all(name in known for name in wanted):
        raise ConfigError(f"training.baseline: must be a list of names among {tuple(known)}, got {wanted!r}")
    return {
        name: fill(OptimizerSettings, known[name], f"training.baseline_optimizers.{name}") for name in wanted
    }


def torch_device(name: str) -> torch.device:
    """The device to compute on.

    Raises:
        ConfigError: the name is unknown to torch, or there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigError(
            f"compute_device: must be auto, cpu or a device of this machine, got {name!r}"
        ) from error
    return device


def _whole(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{key}: must be a whole number >= 0, got {value!r}")
    return value


# -- nodes into frozen dataclasses ---------------------------------------------------------------------------------


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
        return make(_recipe(found, node, key, plugins), key, kind, plugins)
    if not (dataclasses.is_dataclass(found) and isinstance(found, type) and issubclass(found, kind)):
        raise ConfigError(
            f"{key}._target_: must name a subclass of {kind.__name__}, got {node['_target_']!r}"
        )
    return fill(found, {k: v for k, v in node.items() if k != "_target_"}, key, plugins)


def _recipe(function: Callable[..., Node], node: Node, key: str, plugins: Sequence[str]) -> Node:
    """The node that a function makes of its keys; keys that the function does not name pass through."""
    hints = get_type_hints(function)

    def value(name: str, given: Any) -> Any:  # a node handed over as it is must not become an object yet
        raw = name not in hints or isinstance(given, Mapping)
        return given if raw else _checked(given, hints[name], f"{key}.{name}", plugins)

    return function(**{name: value(name, given) for name, given in node.items() if name != "_target_"})


def fill(cls: type[T], node: Node, key: str, plugins: Sequence[str] = ()) -> T:
    """An instance of a dataclass from plain values, each checked against the field's type."""
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    unknown = sorted(set(node) - set(fields))
    if unknown:
        raise ConfigError(
            f"{key}.{unknown[0]}: is no parameter of {cls.__name__}; it has {', '.join(fields)}"
        )
    values = {name: _checked(value, hints[name], f"{key}.{name}", plugins) for name, value in node.items()}
    missing = [n for n, f in fields.items() if n not in values and _required(f)]
    if missing:
        raise ConfigError(f"{key}.{missing[0]}: is required by {cls.__name__}")
    return cls(**values)


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _checked(value: Any, hint: Any, key: str, plugins: Sequence[str]) -> Any:
    """``value`` as the field's type wants it."""
    if isinstance(value, Mapping) and "_target_" in value:
        value = make(value, key, object, plugins)
    accepted, converted = _fits(value, hint)
    if not accepted:
        raise ConfigError(f"{key}: must be {_name(hint)}, got {value!r}")
    return converted


def _fits(value: Any, hint: Any) -> tuple[bool, Any]:  # noqa: PLR0911  (one return per kind of type)
    origin = get_origin(hint)
    if hint is Any:
        return True, value
    if origin in (Union, types.UnionType):
        tries = [_fits(value, option) for option in get_args(hint)]
        return next((t for t in tries if t[0]), (False, value))
    if origin is Literal:
        return value in get_args(hint), value
    if hint is float:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
        return ok, float(value) if ok else value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if origin in (tuple, list, Sequence) or hint in (tuple, list):
        items = get_args(hint)[:1]
        if not isinstance(value, list | tuple):
            return False, value
        checked = [_fits(item, items[0]) if items else (True, item) for item in value]
        return all(ok for ok, _ in checked), tuple(item for _, item in checked)
    kind = origin or hint
    return (isinstance(value, kind) if isinstance(kind, type) else True), value


def _name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(option) for option in get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_name(option) for option in get_args(hint))
    known = {
        float: "a number",
        int: "a whole number",
        str: "a text",
        bool: "true or false",
        type(None): "null",
    }
    if hint in known:
        return known[hint]
    return "a list" if get_origin(hint) in (tuple, list, Sequence) else str(getattr(hint, "__name__", hint))
