"""A configuration into an experiment."""

import dataclasses
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from crossweep import trust
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.configuration import Configuration, Noise, Periphery, Variability
from crossweep.configured import DEVICE_OVERLAY, READ_OVERLAY, overlay
from crossweep.devices.base import AbstractDevice
from crossweep.engine.base import Backend
from crossweep.engine.io_parameters import IOParameters
from crossweep.errors import ConfigError
from crossweep.nodes import Node, fill, make
from crossweep.paths import cache_dir
from crossweep.rng import Stream
from crossweep.testbeds.testbed import TestbedExperiment
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import TileMapping
from crossweep.training.conversion import Conversion
from crossweep.training.experiment import Experiment


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain dictionaries, less Hydra's own node.

    Raises:
        ConfigError: a mandatory value is missing, or an interpolation cannot be resolved.
    """
    try:
        return {str(name): _resolved(cfg[name]) for name in cfg if name != "hydra"}
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: must be given") from error
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, ConfigError):  # of a resolver of ours
            raise error.__cause__ from error
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error


def _resolved(node: Any) -> Any:
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


def build(cfg: Node, *, together: int = 1) -> Experiment | TestbedExperiment:
    """A complete experiment, or the test-bed that ``task`` names.

    Args:
        cfg: the plain, resolved configuration (see ``plain``).
        together: how many like it train at once; ``compute_device: auto`` goes by it.

    Raises:
        ConfigError: a key or a value breaks its rule.
    """
    found = read(cfg)
    device = torch_device(found.compute_device, found.engine.backend)
    factory = _factory(cfg, found, device)
    if found.task is not None:
        return TestbedExperiment(bed=found.task, rule=found.algorithm, factory=factory, torch_device=device)
    if not found.algorithm.is_digital:
        _try(found.algorithm, factory)
    training = found.training
    experiment = Experiment(
        data=found.data,
        model=found.model,
        model_key=cfg["model"],
        rule=found.algorithm,
        factory=factory,
        conversion=_conversion(found),
        pretrain=training.pretrain,
        finetune=training.finetune,
        baselines={name: training.baseline_optimizers[name] for name in training.baseline},
        pretraining_seed=found.seed.pretraining,
        fresh_devices=found.evaluation.fresh_devices,
        times=found.evaluation.times,
        trainings=found.evaluation.trainings,
        target_loss=found.evaluation.target_loss,
        hardware=found.hardware,
        cache=cache_dir(),
        torch_device=device,
    )
    undecided = (
        found.compute_device == "auto" and found.engine.backend == "auto" and torch.cuda.is_available()
    )
    return experiment.placed(together) if undecided else experiment


def read(cfg: Node) -> Configuration:
    """Every key and value of a configuration, checked; the device without what other groups lay over it.

    Raises:
        ConfigError: a key that nothing reads, or a value that breaks its rule.
    """
    return fill(Configuration, cfg, "", trust.packages(cfg.get("plugins", ())))


def _try(rule: AbstractAlgorithm, factory: TileFactory) -> None:
    """Make one weight, so that a rule and devices that do not suit each other are refused before anything trains."""
    rule.build((1, 1), factory.trial())


# -- parts of the configuration ------------------------------------------------------------------------------------


def devices(cfg: Node) -> tuple[AbstractDevice, AbstractDevice]:
    """The fast and the slow tile's device: the shared one, its overrides by role, then noise and variability."""
    plugins = trust.packages(cfg["plugins"])
    noise = fill(Noise, cfg["noise"], "noise")
    spread = fill(Variability, cfg["variability"], "variability")
    over = overlay(DEVICE_OVERLAY, noise=noise, variability=spread)
    given = {key: value for key, value in cfg["device"].items() if key not in ("fast", "slow")}
    make(given, "device", AbstractDevice, plugins)  # so that a mistake is not blamed on a role

    def of(role: str) -> AbstractDevice:
        own = cfg["device"].get(role) or {}
        # a role with a device of its own starts from that; single keys are laid over the shared device
        node = {**({} if "_target_" in own else given), **own, **over}
        made: AbstractDevice = make(node, f"device.{role}" if own else "device", AbstractDevice, plugins)
        return made

    return of("fast"), of("slow")


def periphery(cfg: Node) -> tuple[IOParameters, IOParameters]:
    """Forward and backward reads: the io option, then the noise group's read noise."""
    io, noise = fill(Periphery, cfg["io"], "io"), fill(Noise, cfg["noise"], "noise")
    given = overlay(READ_OVERLAY, noise=noise)
    return dataclasses.replace(io.forward, **given), dataclasses.replace(io.backward, **given)


def _factory(cfg: Node, found: Configuration, device: torch.device) -> TileFactory:
    """Makes the tiles; its streams are those of ``seed.device`` and ``seed.training``."""
    fast, slow = devices(cfg)
    forward, backward = periphery(cfg)
    return TileFactory(
        fast=fast,
        slow=slow,
        symmetry_point=found.symmetry_point,
        symmetry_point_tiles=found.symmetry_point.tiles,
        engine=found.engine,
        forward=forward,
        backward=backward,
        population=Stream(found.seed.device, "devices"),
        draws=Stream(found.seed.training, "draws"),
        torch_device=device,
    )


def _conversion(found: Configuration) -> Conversion:
    """Which layers become analog, and how."""
    analog = found.analog
    names = [f.name for f in dataclasses.fields(TileMapping)]
    return Conversion(
        layers=analog.layers,
        include=analog.include,
        exclude=analog.exclude,
        share=analog.share,
        mapping=TileMapping(**{name: getattr(analog, name) for name in names}),
        weight_transfer=found.noise.weight_transfer,
    )


def torch_device(name: str, backend: Backend = "auto") -> torch.device:
    """The device to compute on; for ``auto`` that of the engine that was asked for, or the CPU until a network decides.

    Raises:
        ConfigError: the name is unknown to torch, or there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if backend == "cuda" and torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigError(
            f"compute_device: must be auto, cpu or a device of this machine, got {name!r}"
        ) from error
    return device
