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
from crossweep.engine.cpu.kernels.sequence import one_pulse
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


@kernel
def two_pulses(f, ids, counter, t, sigma, relative):
    """Two more pulses for those of the devices that get more than ``t``, and more than ``t + 1``."""
    for k in range(LANES):
        v, count, up, lane = f[STATE + k], f[COUNT + k], f[UPWARDS + k], ids[WORD + k]
        su, sd, mu, md = (
            f[DEVICE + k], f[DEVICE + LANES + k], f[DEVICE + 2 * LANES + k], f[DEVICE + 3 * LANES + k]
        )  # fmt: skip
        high, low = f[DEVICE + 4 * LANES + k], f[DEVICE + 5 * LANES + k]
        xi, other = normal_pair(counter, lane)
        once = one_pulse(v, up > F(0.0), su, sd, mu, md, high, low, sigma, relative, xi)
        twice = one_pulse(once, up > F(0.0), su, sd, mu, md, high, low, sigma, relative, other)
        once = once if t < count else v
        f[STATE + k] = twice if t + F(1.0) < count else once


@kernel
def two_exponential_pulses(f, ids, counter, t, scalars):
    """The same for exponential steps; ``scalars`` as ``scalars.Scalars``."""
    for k in range(LANES):
        v, count, up, lane = f[STATE + k], f[COUNT + k], f[UPWARDS + k] > F(0.0), ids[WORD + k]
        unit_up, unit_down, scale = f[DEVICE + k], f[DEVICE + LANES + k], f[DEVICE + 2 * LANES + k]
        high, low = f[DEVICE + 4 * LANES + k], f[DEVICE + 5 * LANES + k]
        xi, other = normal_pair(counter, lane)
        once = exponential_pulse(v, up, unit_up, unit_down, scale, high, low, scalars, xi)
        twice = exponential_pulse(once, up, unit_up, unit_down, scale, high, low, scalars, other)
        once = once if t < count else v
        f[STATE + k] = twice if t + F(1.0) < count else once


@kernel
def two_tabulated_pulses(f, ids, counter, t, scalars):
    """The same for tabulated steps."""
    for k in range(LANES):
        v, count, up, lane = f[STATE + k], f[COUNT + k], f[UPWARDS + k] > F(0.0), ids[WORD + k]
        gain_up, gain_down, scale, origin = (
            f[DEVICE + k], f[DEVICE + LANES + k], f[DEVICE + 2 * LANES + k], f[DEVICE + 3 * LANES + k]
        )  # fmt: skip
        high, low = f[DEVICE + 4 * LANES + k], f[DEVICE + 5 * LANES + k]
        xi, other = normal_pair(counter, lane)
        once = tabulated_pulse(v, up, gain_up, gain_down, scale, origin, high, low, scalars, xi)
        twice = tabulated_pulse(once, up, gain_up, gain_down, scale, origin, high, low, scalars, other)
        once = once if t < count else v
        f[STATE + k] = twice if t + F(1.0) < count else once


@kernel
def two_power_pulses(f, ids, counter, t, sigma):
    """The same for steps that follow a power."""
    for k in range(LANES):
        v, count, up, lane = f[STATE + k], f[COUNT + k], f[UPWARDS + k] > F(0.0), ids[WORD + k]
        su, sd, gu, gd = (
            f[DEVICE + k], f[DEVICE + LANES + k], f[DEVICE + 2 * LANES + k], f[DEVICE + 3 * LANES + k]
        )  # fmt: skip
        high, low = f[DEVICE + 4 * LANES + k], f[DEVICE + 5 * LANES + k]
        xi, other = normal_pair(counter, lane)
        once = power_pulse(v, up, su, sd, gu, gd, high, low, sigma, xi)
        twice = power_pulse(once, up, su, sd, gu, gd, high, low, sigma, other)
        once = once if t < count else v
        f[STATE + k] = twice if t + F(1.0) < count else once


@kernel
def two_more(f, ids, counter, t, scalars):
    """Two more pulses, whatever the response."""
    if scalars.kind == AFFINE:
        two_pulses(f, ids, counter, t, scalars.noise, scalars.relative > F(0.0))
    elif scalars.kind == EXPONENTIAL:
        two_exponential_pulses(f, ids, counter, t, scalars)
    elif scalars.kind == POWER:
        two_power_pulses(f, ids, counter, t, scalars.noise)
    else:
        two_tabulated_pulses(f, ids, counter, t, scalars)


@kernel
def draw_one(f, ids, counter):
    """One normal number for each."""
    for k in range(LANES):
        f[DRAWN + k], _ = normal_pair(counter, ids[WORD + k])
