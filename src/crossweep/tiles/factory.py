"""Makes the tiles of one model: the right device for each role, and streams that depend on names alone."""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from crossweep.devices.base import AbstractDevice
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import Backend, Engine, EngineParameters
from crossweep.engine.choose import Choice, choose, engine
from crossweep.engine.io_parameters import IOParameters
from crossweep.errors import ConfigError
from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile, TileParameters
from crossweep.tiles.unit_cells import UnitCellTile

Role = Literal["fast", "slow", "single"]
_ROLES: dict[str, tuple[Role, ...]] = {
    "fast": ("fast", "single"),
    "slow": ("slow", "single"),
    "both": ("fast", "slow", "single"),
}


@dataclass(frozen=True, kw_only=True)
class TileFactory:
    """Everything that the tiles of a model share.

    Args:
        fast: device of the tile that takes the gradient's pulses.
        slow: device of the tile that holds the weight; also of a ``single`` tile that does both.
        symmetry_point: where the symmetry points sit, for the tiles named by ``symmetry_point_tiles``.
        symmetry_point_tiles: ``fast``, ``slow`` or ``both``; a single tile plays both roles. The other tiles
            have the same subtraction, neither skew nor variability.
        engine: level of fidelity, and what is asked to work at it.
        forward: periphery of the forward read.
        backward: periphery of the transposed read.
        population: stream of the devices' parameters (``seed.device``).
        draws: stream of pulses, noise and choppers (``seed.training``).
        torch_device: where tiles live.
        instances: crossbars side by side in each tile, as far as the choice of the engine is concerned.
    """

    fast: AbstractDevice
    slow: AbstractDevice
    symmetry_point: SymmetryPoint
    symmetry_point_tiles: Literal["fast", "slow", "both"] = "fast"
    engine: EngineParameters
    forward: IOParameters
    backward: IOParameters
    population: Stream
    draws: Stream
    torch_device: torch.device | str = "cpu"
    instances: int = 1

    def __post_init__(self) -> None:
        if self.symmetry_point_tiles not in _ROLES:
            raise ConfigError(
                f"symmetry_point.tiles: must be one of {tuple(_ROLES)}, got {self.symmetry_point_tiles!r}"
            )
        self.choice  # noqa: B018  (its own check)

    @property
    def choice(self) -> Choice:
        """What works on the tiles, and why."""
        return choose(self.engine.backend, torch.device(self.torch_device), instances=self.instances)

    @property
    def chosen(self) -> Engine:
        """The engine of all that is made here."""
        return engine(self.engine, torch.device(self.torch_device), instances=self.instances)

    def within(self, name: str) -> "TileFactory":
        """The factory of one layer or sub-tile; its streams are named after it."""
        return replace(self, population=self.population.fork(name), draws=self.draws.fork(name))

    def trial(self) -> "TileFactory":
        """For small weights that are made to look at them: on the CPU, and no stream of this factory draws."""
        backend: Backend = "reference" if self.engine.backend == "reference" else "auto"
        return replace(
            self, population=Stream(0), draws=Stream(0), torch_device="cpu", instances=1,
            engine=replace(self.engine, backend=backend),
        )  # fmt: skip

    def tile(self, role: Role, shape: tuple[int, ...], name: str | None = None) -> AnalogTile:
        """A crossbar of ``shape`` in a role; ``name`` tells several tiles of one role apart."""
        point = self.symmetry_point
        if role not in _ROLES[self.symmetry_point_tiles]:
            point = replace(point, skew=0.0, variability=0.0)
        device = self.fast if role == "fast" else self.slow
        label = name or role
        kind = UnitCellTile if device.n_devices > 1 else AnalogTile
        return kind(
            shape,
            TileParameters(device=device, symmetry_point=point, engine=self.chosen),
            population=self.population.fork(label),
            draws=self.draws.fork(label),
            torch_device=self.torch_device,
        )
