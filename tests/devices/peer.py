"""The peer simulator's description of a device and its drawn arrays, as ours."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.piecewise_step import PiecewiseStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.soft_bounds import SoftBounds
from tests.reference.traces import Trace

MODELS: dict[str, type[AbstractDevice]] = {
    "constant_step": ConstantStep,
    "linear_step": LinearStep,
    "soft_bounds": SoftBounds,
    "soft_bounds_reference": SoftBounds,
    "exp_step": ExpStep,
    "pow_step": PowStep,
    "pow_step_reference": PowStep,
    "piecewise_step": PiecewiseStep,
}
PRESET_MODELS = {
    **dict.fromkeys(("reram_es", "pcm"), "exp_step"),
    **dict.fromkeys(("reram_sb", "reram_om", "reram_hfo2"), "soft_bounds_reference"),
    **dict.fromkeys(("capacitor", "ecram", "ecram_mo"), "linear_step"),
    **dict.fromkeys(("gokmen_vlasov", "idealized"), "constant_step"),
}


def model(trace: Trace) -> str:
    """Name of the peer's device class."""
    spec = trace.meta["spec"]
    return str(spec["model"] if "model" in spec else PRESET_MODELS[spec["preset"]])


def device(trace: Trace, **changes: Any) -> AbstractDevice:
    """Our device with the peer's parameters."""
    kind = MODELS[model(trace)]
    known = {f.name for f in fields(kind)}
    given = {key: value for key, value in trace.meta["fields"].items() if key in known}
    if given.get("w_min") == 0:
        given |= {"update_policy": "one_sided", "n_devices": 2}
    return basic(kind, **(given | changes))


def cells(trace: Trace, described: AbstractDevice, role: str = "C") -> Cells:
    """The recorded devices in double precision."""
    arrays = {key: torch.from_numpy(a).double() for key, a in trace.cells(role).items()}
    own = [arrays[name] for name in ("step_up", "step_down", "w_max", "w_min")]
    extra = {
        key: arrays[key] for key in ("slope_up", "slope_down", "gamma_up", "gamma_down") if key in arrays
    }
    if isinstance(described, SoftBounds):
        extra = soft_slopes(*own)
    if isinstance(described, ConstantStep | ExpStep | PiecewiseStep):
        extra = {}
    return Cells(*own, extra)


def soft_slopes(step_up: Tensor, step_down: Tensor, w_max: Tensor, w_min: Tensor) -> dict[str, Tensor]:
    """Slopes that let the steps vanish at the device's own bounds."""
    return {
        "slope_up": -step_up / w_max.clamp(min=1e-12),
        "slope_down": step_down / (-w_min).clamp(min=1e-12),
    }


def reference(trace: Trace, role: str = "C") -> Tensor | float:
    """What is subtracted from the device to give the visible weight."""
    arrays = trace.cells(role)
    return torch.from_numpy(arrays["reference"]).double() if "reference" in arrays else 0.0
