"""Parameters for comparisons, whatever an option is tuned to: its numbers, but for those that are told here.

Read without Hydra, which a bare machine with a GPU has not got.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from crossweep import options
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.mrl import MRL
from crossweep.algorithms.rlv2 import RLv2
from crossweep.algorithms.tiki_taka import BufferedTransfer, PulsedTransfer
from crossweep.algorithms.tt_adam import TTAdam
from crossweep.algorithms.ttv2 import TTv2
from crossweep.devices.base import AbstractDevice
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.piecewise_step import PiecewiseStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.nodes import fill
from crossweep.tiles.mapping import TileMapping
from crossweep.training.fit_settings import OptimizerSettings, RateSchedule

T = TypeVar("T")
# what is no option by itself: group, file, and keys down to it
PLACES: dict[type, tuple[str, ...]] = {
    UpdateParameters: ("algorithm", "_update"),
    IOParameters: ("io", "_read"),
    EngineParameters: ("engine", "count"),
    SymmetryPoint: ("symmetry_point", "centred"),
    OptimizerSettings: ("training", "_base", "baseline_optimizers", "sgd"),
    RateSchedule: ("training", "_base", "finetune", "schedule"),
}
_SHORT = {"update": options.keys("algorithm", "_update") | {"desired_bl": 5}}
_PULSE = {"transfer_update": options.keys("algorithm", "_transfer_update"), "step": 1.0}
# of a class and those below it: aihwkit's numbers, and what is easily followed by hand
NUMBERS: dict[type, Mapping[str, Any]] = {
    BufferedTransfer: {**_SHORT, **_PULSE, "auto_granularity": 0.0},
    CTTv2: {"in_chop_prob": 0.1},
    TTAdam: {"in_chop_turns": 0.0},
    TTv2: {"gamma_unfading": 0.0},
    PulsedTransfer: {
        **_SHORT, "fast_change": 0.0, "scale_fast_lr": False, "transfer_lr": 1.0, "few_states": 0.0,
    },
    RLv2: {"gamma": 0.0},
    MRL: {"transfer_every": 1.0, "gamma": 0.5},
    LinearStep: {"gamma_up": 0.0, "gamma_down": 0.0},
    PowStep: {"pow_gamma": 1.0},
    PiecewiseStep: {"piecewise_up": [1.0], "piecewise_down": [1.0]},
}  # fmt: skip


def basic(kind: type[T], /, **given: Any) -> T:
    """An object of a class: what is given, else the number told above, else that of the option which names the class.

    Args:
        kind: a class of parameters, or one below it; a device has the numbers that all of its model have.
        given: some of its fields.

    Raises:
        ConfigError: a parameter breaks its rule.
    """
    told: dict[str, Any] = {}
    for table in (_keys, NUMBERS.get):
        for base in reversed(kind.__mro__):
            told |= table(base) or {}
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return fill(kind, {key: value for key, value in told.items() if key in known} | given, "")


def _keys(kind: type) -> Mapping[str, Any] | None:
    target = f"{kind.__module__}.{kind.__qualname__}"
    if kind is TileMapping:
        return options.content("", "train")["analog"]  # type: ignore[no-any-return]
    if kind in PLACES:
        group, file, *path = PLACES[kind]
        found = options.keys(group, file)
        for key in path:
            found = found[key]
        return found
    for group in ("device", "algorithm"):
        if name := options.named(group, target):
            shared = options.common(group, kind) if issubclass(kind, AbstractDevice) else {}
            return options.keys(group, name) | shared
    return None
