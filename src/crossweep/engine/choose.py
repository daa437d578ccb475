"""Which implementation works on a tile: the one place that chooses."""

from typing import Literal, NamedTuple

import torch

from crossweep.engine.base import Backend, Engine, EngineParameters
from crossweep.engine.cpu.engine import CPUEngine
from crossweep.engine.reference.engine import ReferenceEngine
from crossweep.errors import ConfigError

CPU = torch.device("cpu")


class Choice(NamedTuple):
    """What works on the tiles of a model, and why."""

    implementation: Literal["reference", "cpu"]
    reason: str


def choose(backend: Backend, device: torch.device, *, instances: int = 1) -> Choice:
    """The implementation for tiles on ``device``.

    Args:
        backend: what was asked for: ``reference`` (torch; any device, every rule), ``cpu`` (compiled kernels, the
            reference where there is none) or ``auto``.
        device: where the tiles live.
        instances: crossbars side by side in each tile.

    Raises:
        ConfigError: ``cpu`` is asked for elsewhere.
    """
    if backend == "reference":
        return Choice("reference", "asked for")
    if device.type != "cpu":
        if backend == "cpu":
            raise ConfigError(f"engine.backend: cpu works on compute_device=cpu only, got {device}")
        return Choice("reference", f"there are no compiled kernels for {device.type}")
    if backend == "cpu":
        return Choice("cpu", "asked for")
    if instances > 1:
        return Choice("reference", "one tensor operation for many crossbars beats a compiled call for each")
    return Choice("cpu", "tiles lie on the CPU")


def engine(parameters: EngineParameters, device: torch.device = CPU, *, instances: int = 1) -> Engine:
    """The engine for tiles on ``device``; see ``choose``."""
    made = choose(parameters.backend, device, instances=instances)
    return _ENGINES[made.implementation](parameters)


_ENGINES: dict[str, type[Engine]] = {kind.name: kind for kind in (ReferenceEngine, CPUEngine)}
