"""Pulses per device of one update with all values positive, from the change of an ideal device."""

import torch

from crossweep.bench.basic import basic
from crossweep.bench.updates import Case
from crossweep.devices.constant_step import ConstantStep
from crossweep.engine.base import Crossbar, EngineParameters
from crossweep.engine.choose import engine
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.rng import Stream


def counted_pulses(case: Case) -> float:
    """Mean pulses per device; the counterpart of ``peer.counted_pulses``."""
    step, update = 1e-5, basic(UpdateParameters, desired_bl=case.bl)
    device = basic(ConstantStep,
        dw_min=step, dw_min_dtod=0.0, dw_min_std=0.0, up_down_dtod=0.0, w_max=10.0, w_min=-10.0,
        w_max_dtod=0.0,
        w_min_dtod=0.0,
    )  # fmt: skip
    bar = Crossbar(device, device.draw((case.d, case.x), Stream(4)))
    x, d = (t.abs() for t in case.data())
    lr = case.bl * step / float((x.amax(-1) * d.amax(-1)).mean())
    plan = plan_pulses(x, d, lr, step, update)
    made = engine(basic(EngineParameters, level="pulse"))
    moved, _ = made.update(torch.zeros(case.d, case.x), plan, bar, update, Stream(5))
    return -float(moved.mean()) / step
