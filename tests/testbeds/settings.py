"""Devices and rules of the published test-beds."""

from dataclasses import dataclass
from typing import Any

import torch

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.mixed_precision import MixedPrecision
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.tiles.factory import TileFactory

# reads of A in the correlation table: 8 bit, noise 0.04
STANDARD = basic(IOParameters,
    inp_res=1 / 254, out_res=1 / 254, out_bound=10.0, out_noise=0.04,
    noise_management="none", bound_management="none",
)  # fmt: skip
FIVE = basic(UpdateParameters, desired_bl=5)
NO_SPREAD: dict[str, Any] = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0}
CORRELATION_DEVICE = basic(SoftBounds, dw_min=0.1, w_max=1.0, w_min=-1.0, **NO_SPREAD)


def correlation_rules() -> dict[str, AbstractAlgorithm]:
    common: dict[str, Any] = {"update": FIVE, "auto_granularity": 200.0, "transfer_io": STANDARD}
    return {
        "sgd": basic(AnalogSGD),
        "ttv2": basic(TTv2, fast_lr=1.0, **common),
        "cttv2": basic(CTTv2, fast_lr=0.1, in_chop_prob=0.1, in_chop_random=False, **common),
        "agad": basic(AGAD,
            fast_lr=0.1, in_chop_prob=0.1, tail_weightening=5.0,
            transfer_update=basic(UpdateParameters, desired_bl=1), **common,
        ),
        "mixed_precision": basic(MixedPrecision,
            transfer_every=5, n_rows_per_transfer=1, granularity=0.1, n_x_bins=4, n_d_bins=4
        ),
    }  # fmt: skip


def gradient_rules() -> dict[str, AbstractAlgorithm]:
    """Of the constant-gradient table: reads every five samples, no auto-scale."""
    common: dict[str, Any] = {
        "update": FIVE, "transfer_every": 5.0, "auto_granularity": 200.0, "auto_scale": False, "fast_lr": 1.0,
    }  # fmt: skip
    return {
        "ttv2": basic(TTv2, **common),
        "cttv2": basic(CTTv2, in_chop_random=False, **common),
        "agad": basic(AGAD, **common),
    }


def programming_rules() -> dict[str, AbstractAlgorithm]:
    """Of the weight-programming table. Blocks of five samples: the averages' rate is per mini-batch, hence
    0.95.
    """
    common: dict[str, Any] = {
        "update": FIVE, "transfer_every": 5.0, "auto_granularity": 200.0, "auto_momentum": 0.95,
    }  # fmt: skip
    return {
        "sgd": basic(AnalogSGD, update=FIVE),
        "ttv2": basic(TTv2, **common),
        "cttv2": basic(CTTv2, **common),
        "agad": basic(AGAD, **common),
    }


def rasch_device(states: float, **changes: Any) -> SoftBounds:
    spreads = {
        "w_max_dtod": 0.3,
        "w_min_dtod": 0.3,
        "dw_min_dtod": 0.3,
        "dw_min_std": 0.3,
        "up_down_dtod": 0.1,
    }
    fixed = {"w_max": 1.0, "w_min": -1.0, "dw_min_dtod_log_normal": True, "n_states": states}
    return basic(SoftBounds, **(fixed | spreads | changes))


@dataclass(frozen=True, kw_only=True)
class Spread(AbstractAlgorithm):
    """The same devices several times over, each group with its own spread of A's symmetry point.

    The factory's variability must be 1 (of w_max = 1); instances are ``len(spreads)`` groups.
    """

    inner: AbstractAlgorithm
    spreads: tuple[float, ...]

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> AnalogWeight:
        weight = self.inner.build(shape, factory)
        groups = len(self.spreads)
        many = shape[0] // groups
        factor = torch.tensor(self.spreads).repeat_interleave(many).view(-1, 1, 1)
        for name, tile in weight.tiles().items():
            point = tile.device.symmetry_point(tile.cells)
            assert point is not None
            off = (tile.reference - point)[:many].repeat(groups, 1, 1)
            for buffer, values in list(tile.named_buffers()):
                if buffer.startswith("cell_"):
                    values.copy_(values[:many].repeat(groups, 1, 1))
            point = tile.device.symmetry_point(tile.cells)
            tile.reference = point + (factor * off if name == "fast" else 0.0)
        return weight
