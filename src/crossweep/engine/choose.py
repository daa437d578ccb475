"""Which implementation works on a tile: the one place that chooses."""

from importlib.util import find_spec
from typing import Literal, NamedTuple

import torch

from crossweep.engine.base import Backend, Engine, EngineParameters
from crossweep.engine.cpu.engine import CPUEngine
from crossweep.engine.cuda.engine import CUDAEngine
from crossweep.engine.cuda.launch import interpreted
from crossweep.engine.reference.engine import ReferenceEngine
from crossweep.errors import ConfigError

CPU = torch.device("cpu")


class Choice(NamedTuple):
    """What works on the tiles of a model, and why."""

    implementation: Literal["reference", "cpu", "cuda"]
    reason: str


def choose(backend: Backend, device: torch.device, *, instances: int = 1) -> Choice:
    """The implementation for tiles on ``device``.

    Args:
        backend: what was asked for: ``reference`` (torch; any device, every rule), ``cpu`` or ``cuda`` (compiled kernels,
            the reference where there is none) or ``auto``.
        device: where the tiles live.
        instances: crossbars side by side in each tile.

    Raises:
        ConfigError: ``cpu`` or ``cuda`` is asked for elsewhere, or ``cuda`` without Triton.
    """
    if backend != "auto":
        _require(backend, device)
        return Choice(backend, "asked for")
    if device.type == "cuda" and _has_triton():
        return Choice("cuda", "tiles lie on a GPU")
    if device.type != "cpu":
        return Choice("reference", f"there are no compiled kernels for {device.type}")
    if instances > 1:
        return Choice("reference", "one tensor operation for many crossbars beats a compiled call for each")
    return Choice("cpu", "tiles lie on the CPU")


def engine(parameters: EngineParameters, device: torch.device = CPU, *, instances: int = 1) -> Engine:
    """The engine for tiles on ``device``; see ``choose``."""
    made = choose(parameters.backend, device, instances=instances)
    return _ENGINES[made.implementation](parameters)


def _require(backend: Backend, device: torch.device) -> None:
    """Check that an implementation works on ``device``."""
    if backend == "cuda" and not _has_triton():
        raise ConfigError("engine.backend: cuda needs Triton, which comes with torch's CUDA builds on Linux")
    here = device.type == backend or (backend == "cuda" and interpreted())
    if backend != "reference" and not here:
        raise ConfigError(f"engine.backend: {backend} works on compute_device={backend} only, got {device}")


def _has_triton() -> bool:
    return find_spec("triton") is not None


_ENGINES: dict[str, type[Engine]] = {kind.name: kind for kind in (ReferenceEngine, CPUEngine, CUDAEngine)}
