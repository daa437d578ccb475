# mypy: ignore-errors
"""Single devices out of a block or a crossbar, brought together so that their pulses fill a register."""

import numpy as np

from crossweep.engine.cpu.blocks import LANES
from crossweep.engine.cpu.kernels.block import NEAR, WORD
from crossweep.engine.cpu.kernels.exponential import exponential_pulse
from crossweep.engine.cpu.kernels.jit import inline, kernel
from crossweep.engine.cpu.kernels.maths import normal_pair
from crossweep.engine.cpu.kernels.power import power_pulse
from crossweep.engine.cpu.kernels.scalars import AFFINE, EXPONENTIAL, POWER
from crossweep.engine.cpu.kernels.sequence import affine_pulse
from crossweep.engine.cpu.kernels.tabulated import tabulated_pulse

F = np.float32
# places, a register each: state, number of pulses, whether they go up, a normal number; steps, slopes and bounds
STATE, COUNT, UPWARDS, DRAWN, DEVICE = (NEAR + k * LANES for k in range(5))


@inline
def bring(f, ids, k, state, device, i, j, word):
    """Make the device at row ``i`` and column ``j`` number ``k`` of those together; ``word`` is its key."""
    f[STATE + k], ids[WORD + k] = state, word
    for q in range(6):
        f[DEVICE + q * LANES + k] = device[q][i, j]


@inline
def _two(f, ids, counter, t, scalars, pulse):
    """Two more pulses for those of the devices that get more than ``t``, and more than ``t + 1``."""
    for k in range(LANES):
        v, count, up, lane = f[STATE + k], f[COUNT + k], f[UPWARDS + k] > F(0.0), ids[WORD + k]
        a, b, c, d = (
            f[DEVICE + k], f[DEVICE + LANES + k], f[DEVICE + 2 * LANES + k], f[DEVICE + 3 * LANES + k]
        )  # fmt: skip
        high, low = f[DEVICE + 4 * LANES + k], f[DEVICE + 5 * LANES + k]
        xi, other = normal_pair(counter, lane)
        once = pulse(v, up, a, b, c, d, high, low, scalars, xi)
        twice = pulse(once, up, a, b, c, d, high, low, scalars, other)
        once = once if t < count else v
        f[STATE + k] = twice if t + F(1.0) < count else once


@kernel
def two_more(f, ids, counter, t, scalars):
    """The same, whatever the response; a loop of its own for each, so that it vectorises."""
    if scalars.kind == AFFINE:
        _two(f, ids, counter, t, scalars, affine_pulse)
    elif scalars.kind == EXPONENTIAL:
        _two(f, ids, counter, t, scalars, exponential_pulse)
    elif scalars.kind == POWER:
        _two(f, ids, counter, t, scalars, power_pulse)
    else:
        _two(f, ids, counter, t, scalars, tabulated_pulse)


@kernel
def draw_one(f, ids, counter):
    """One normal number for each."""
    for k in range(LANES):
        f[DRAWN + k], _ = normal_pair(counter, ids[WORD + k])
