"""Recorded, noise-free state traces of the peer simulator, replayed with crossweep's own rules."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.mixed_precision import MixedPrecision
from crossweep.algorithms.ttv1 import TTv1
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.piecewise_step import PiecewiseStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters
from crossweep.engine.choose import Backend
from crossweep.engine.io_parameters import PERFECT, IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.factory import TileFactory

FOLDER = Path(__file__).parent.parent / "reference" / "algorithms"
_MODELS: dict[str, type[AbstractDevice]] = {
    "soft_bounds_reference": SoftBounds,
    "linear_step": LinearStep,
    "constant_step": ConstantStep,
    "exp_step": ExpStep,
    "pow_step": PowStep,
    "piecewise_step": PiecewiseStep,
}
_PULSE_TYPES = {"DETERMINISTIC_IMPLICIT": "deterministic_implicit", "STOCHASTIC_COMPRESSED": "stochastic"}
_RULES: dict[str, type[AbstractAlgorithm]] = {
    "analog_sgd": AnalogSGD,
    "ttv1": TTv1,
    "ttv2": TTv2,
    "cttv2": CTTv2,
    "agad": AGAD,
    "mixed_precision": MixedPrecision,
}


@dataclass(frozen=True)
class Trace:
    """One recording."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]

    @classmethod
    def load(cls, name: str) -> "Trace":
        with np.load(FOLDER / f"{name}.npz") as file:
            arrays = {key: file[key] for key in file.files}
        return cls(arrays, json.loads(str(arrays.pop("meta"))))

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name].astype(np.float32))

    def updates(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        """``x [b, x]``, ``d [b, d]`` and the learning rate of each update."""
        x, d = self.tensor("x"), self.tensor("d")
        for t, lr in enumerate(self.arrays["learning_rate"]):
            yield x[t], d[t], float(lr)

    def flips(self, chopper: str) -> Tensor:
        """Which choppers each update flipped, bool [t, n]."""
        state = torch.from_numpy(self.arrays[chopper].astype(bool))
        return state ^ torch.cat([torch.zeros_like(state[:1]), state[:-1]])


def device(role: dict[str, Any]) -> AbstractDevice:
    """Our description of a recorded crossbar; its granularity must be the recorded one."""
    spec = {k: v for k, v in role["spec"].items() if k not in ("model", "construction_seed")}
    for name in ("subtract_symmetry_point", "reference_mean", "reference_std"):
        spec.pop(name, None)
    made = basic(_MODELS[role["model"]], **spec)
    np.testing.assert_allclose(made.granularity, role["granularity"], rtol=1e-5)
    return made


def update_parameters(settings: dict[str, Any]) -> UpdateParameters:
    return basic(
        UpdateParameters,
        desired_bl=settings["desired_bl"],
        update_management=settings["update_management"],
        update_bl_management=settings["update_bl_management"],
        um_grad_scale=settings["um_grad_scale"],
        pulse_type=_PULSE_TYPES[settings["pulse_type"]],
    )


def rule(trace: Trace) -> AbstractAlgorithm:
    """Our rule with the recorded settings, in our conventions."""
    meta, name = trace.meta, trace.meta["case"]["algorithm"]
    given = dict(meta["settings"])
    update = update_parameters(meta["update"])
    if name == "analog_sgd":
        return basic(AnalogSGD, update=update)
    kind = _RULES[name]
    known = {k: v for k, v in given.items() if k in kind.__dataclass_fields__}
    known["update"] = update
    if name == "mixed_precision":
        return basic(MixedPrecision, **known, sto_round=False)
    fast = meta["roles"]["A"]
    known["transfer_update"] = update_parameters(given["transfer_update"])
    forward = given["transfer_forward"]
    known["transfer_io"] = basic(
        IOParameters, **(forward | {"noise_management": "none", "bound_management": "none"})
    )
    known.setdefault("auto_scale", False)
    if name != "ttv1" and given["gamma_vec"]:
        fast_share, slow_share = given["gamma_vec"]
        assert slow_share == 1
        known["gamma"] = fast_share
    if name == "ttv1":
        known["n_tiles"] = len(meta["roles"])
    if name == "agad":
        known["correct_accumulation"] = given["experimental_correct_accumulation"]
    # the peer scales A's pulse trains with the mean granularity of the compound, crossweep with A's own
    ratio = fast["granularity"] / fast["scalars"]["compound_granularity"]
    if known["fast_lr"] <= 0:
        known |= {"fast_lr": ratio, "scale_fast_lr": True, "auto_scale": False}
    else:
        known["fast_lr"] *= ratio
    if known.get("correct_gradient_magnitudes"):
        known["transfer_lr"] *= ratio  # there the transfer is divided by the rate of A
    return basic(kind, **known)


def build(trace: Trace, backend: Backend) -> AnalogWeight:
    """The rule's weight with the recorded devices, set to the recorded start."""
    roles = {name: device(role) for name, role in trace.meta["roles"].items()}
    fast, slow = roles.get("A", roles["C"]), roles.get("A1", roles["C"])
    root = Stream(1)
    factory = TileFactory(
        fast=fast,
        slow=slow,
        symmetry_point=basic(SymmetryPoint, subtract=False),
        engine=basic(EngineParameters, level="pulse", backend=backend),
        forward=PERFECT,
        backward=PERFECT,
        population=root.fork("population"),
        draws=root.fork("draws"),
    )
    case, made = trace.meta["case"], rule(trace)
    weight = made.build((case["d_size"], case["x_size"]), factory)
    rows = not getattr(made, "transfer_columns", True)
    for tile, role in zip(weight.tiles().values(), trace.meta["roles"], strict=True):
        load_cells(tile, trace, role, rows)
    weight.set_weight(trace.tensor("start"))
    # the peer clips what is written to the bounds without the reference; a device that starts out of reach
    # is pulled back by its first pulse, here as there
    last = list(weight.tiles().values())[-1]
    share = made.gammas[-1] if isinstance(made, TTv1) else 1.0
    start = trace.tensor("start") / share
    for tile in weight.tiles().values():
        shown = torch.zeros_like(tile.state) if tile is not last else (start.T if rows else start)
        shown = torch.minimum(torch.maximum(shown, tile.cells.w_min), tile.cells.w_max)
        tile.state, tile.weight = shown + tile.reference, shown
    return weight


def load_cells(tile: AnalogTile, trace: Trace, role: str, rows: bool) -> None:
    """Overwrite a tile's drawn devices with the recorded ones."""
    model = trace.meta["roles"][role]["model"]

    def recorded(name: str) -> Tensor:
        array = trace.tensor(f"{role}.{name}")
        return array.T.contiguous() if rows else array

    cells = {name: recorded(name) for name in ("step_up", "step_down", "w_max", "w_min")}
    if model == "soft_bounds_reference":
        cells["slope_up"] = -cells["step_up"] / cells["w_max"]
        cells["slope_down"] = -cells["step_down"] / cells["w_min"]
        tile.reference = recorded("reference")
    elif model == "linear_step":
        cells |= {"slope_up": recorded("slope_up"), "slope_down": recorded("slope_down")}
    elif model == "pow_step":
        cells |= {"gamma_up": recorded("gamma_up"), "gamma_down": recorded("gamma_down")}
    for name, tensor in cells.items():
        assert hasattr(tile, f"cell_{name}"), name
        setattr(tile, f"cell_{name}", tensor)
    assert set(tile.cells.tensors()) == set(cells), "a parameter of the device was not recorded"
