"""Small factories for algorithm tests."""

from typing import Any, get_args

import torch
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters, Level
from crossweep.engine.io_parameters import PERFECT, IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory

PULSE, COUNT, MEAN = (basic(EngineParameters, level=level) for level in get_args(Level))
EXACT: dict[str, Any] = {
    "dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0,
    "w_max": 1.0, "w_min": -1.0,
}  # fmt: skip
DEVICES: dict[str, AbstractDevice] = {
    "soft_bounds": basic(SoftBounds, dw_min=0.05, w_max=1.0, w_min=-1.0, up_down_dtod=0.1),
    "exp_step": basic(ExpStep, dw_min=0.03, w_max=1.0, w_min=-1.0),
    "constant_step": basic(ConstantStep, dw_min=0.02, w_max=1.0, w_min=-1.0),
    # what devices do between pulses, and what they show of their state
    "relaxing": basic(
        SoftBounds,
        dw_min=0.05,
        w_max=1.0,
        w_min=-1.0,
        up_down_dtod=0.1,
        write_noise_std=0.5,
        lifetime=50.0,
        reset_dtod=0.02,
        diffusion=0.002,
        drift_nu=0.1,
        drift_nu_std=0.2,
    ),
    # several devices per weight: states have one dimension more than weights
    "cells": basic(
        SoftBounds,
        dw_min=0.05,
        w_max=1.0,
        w_min=-1.0,
        up_down_dtod=0.1,
        n_devices=2,
        update_policy="single_sequential",
    ),
    "pair": basic(
        ExpStep, dw_min=0.03, w_max=2.0, w_min=0.0, n_devices=2, update_policy="one_sided", refresh_every=1
    ),
}
DETERMINISTIC = basic(UpdateParameters, pulse_type="deterministic_implicit")


def ideal(dw_min: float, **changes: Any) -> ConstantStep:
    """Equal constant steps, no spread, no noise."""
    return basic(ConstantStep, **({"dw_min": dw_min} | EXACT | changes))


def soft(dw_min: float, **changes: Any) -> SoftBounds:
    """Soft bounds without spread or noise."""
    return basic(SoftBounds, **({"dw_min": dw_min} | EXACT | changes))


def factory(
    fast: AbstractDevice,
    slow: AbstractDevice | None = None,
    *,
    seed: int = 1,
    engine: EngineParameters | None = None,
    io: IOParameters = PERFECT,
    tiles: str = "fast",
    **point: Any,
) -> TileFactory:
    """A factory with perfect reads; keyword arguments are those of the symmetry point."""
    root = Stream(seed)
    return TileFactory(
        fast=fast,
        slow=slow or fast,
        symmetry_point=basic(SymmetryPoint, **point),
        symmetry_point_tiles=tiles,  # type: ignore[arg-type]
        engine=engine or basic(EngineParameters, level="count", backend="reference"),
        forward=io,
        backward=io,
        population=root.fork("population"),
        draws=root.fork("draws"),
    )


def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers from a stream of their own."""
    return Stream(seed).fork("inputs").normal(*shape, like=torch.empty(0))
