"""Pulsed updates alone: weight-samples per second by level, device, shape, samples and bit length."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters, Level
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory

LEVELS = {level: basic(EngineParameters, level=level) for level in get_args(Level)}
# aihwkit's ReRamSBPresetDevice
RERAM_SB = basic(SoftBounds,
    dw_min=0.002, dw_min_dtod=0.3, dw_min_std=3.75, up_down_dtod=0.01, w_max=1.25, w_min=-0.75,
    w_max_dtod=0.24,
    w_min_dtod=0.4, write_noise_std=56.0,
)  # fmt: skip
DEVICES: dict[str, AbstractDevice] = {
    "reram_sb": RERAM_SB,
    "soft_bounds": basic(SoftBounds),
    "linear_step": basic(LinearStep, gamma_up=0.5, gamma_down=0.5),
    "constant_step": basic(ConstantStep),
    "exp_step": basic(ExpStep),
    "pow_step": basic(PowStep),
}
PRESET_IO = basic(IOParameters, inp_res=1 / 126, out_res=1 / 510, out_bound=20.0, out_noise=0.1)
SLICE_IO = basic(
    IOParameters,
    inp_res=1 / 126,
    out_res=1 / 510,
    out_bound=20.0,
    out_noise=0.1,
    noise_management="none",
    bound_management="none",
)
LR = 0.01


@dataclass(frozen=True, kw_only=True)
class Case:
    """One update.

    Args:
        rule: name of the training rule.
        level: level of the engine.
        device: name of the device.
        d: rows.
        x: columns.
        samples: samples of the mini-batch.
        bl: longest pulse train [slot].
    """

    rule: str = "cttv2"
    level: str = "count"
    device: str = "reram_sb"
    d: int = 384
    x: int = 384
    samples: int = 64
    bl: int = 31

    @property
    def weight_samples(self) -> int:
        """Weights times samples: what an update has to do at least."""
        return self.d * self.x * self.samples

    def data(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Standard normal inputs and errors."""
        like, stream = torch.empty(0), Stream(1)
        x = stream.fork("x").normal(self.samples, self.x, like=like)
        return x, stream.fork("d").normal(self.samples, self.d, like=like)


def rule_of(name: str, bl: int) -> AbstractAlgorithm:
    """A training rule with the settings of aihwkit's presets for it."""
    update = basic(UpdateParameters, desired_bl=bl)
    if name == "analog_sgd":
        return basic(AnalogSGD, update=update)
    common = {"fast_lr": 0.5, "auto_granularity": 1000.0, "transfer_io": SLICE_IO, "update": update}
    kinds = {"cttv2": CTTv2, "agad": AGAD}
    rule: AbstractAlgorithm = basic(kinds[name], in_chop_prob=0.01 if name == "cttv2" else 0.05, **common)  # type: ignore[arg-type]
    return rule


def weight_of(case: Case, torch_device: str = "cpu") -> AnalogWeight:
    """The weight that a case updates."""
    device = DEVICES[case.device]
    factory = TileFactory(
        fast=device, slow=device, symmetry_point=basic(SymmetryPoint), engine=LEVELS[case.level],
        forward=PRESET_IO,
        backward=PRESET_IO, population=Stream(2), draws=Stream(3), torch_device=torch_device,
    )  # fmt: skip
    return rule_of(case.rule, case.bl).build((case.d, case.x), factory)


def sgd_rate(case: Case) -> float:
    """Learning rate at which plain SGD wants ``bl`` pulses at the strongest cross-point of a typical sample:
    dense."""
    x, d = case.data()
    strongest = (x.abs().amax(-1) * d.abs().amax(-1)).mean()
    return case.bl * DEVICES[case.device].granularity / float(strongest)


def updater(case: Case, torch_device: str = "cpu") -> tuple[Callable[[], None], AnalogWeight]:
    """A call that makes one update, and the weight it works on."""
    weight = weight_of(case, torch_device)
    x, d = (t.to(torch_device) for t in case.data())
    lr = sgd_rate(case) if case.rule == "analog_sgd" else LR
    return lambda: weight.update(x, d, lr), weight


def pulses_per_update(weight: AnalogWeight, updates: int) -> float:
    """Mean pulses per device and update on the tile that takes the gradient."""
    tile = next(iter(weight.tiles().values()))
    return tile.pulses / updates / (weight.shape[-1] * weight.shape[-2])
