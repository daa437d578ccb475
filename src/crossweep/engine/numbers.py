"""Numbers of a transfer as compiled kernels take them: of its reads, and of how these are written."""

from typing import NamedTuple

import numpy as np

from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.program import Buffered, Own, Smoothed


class OneHot(NamedTuple):
    """The periphery of one-hot reads.

    Args:
        drive: of the line that is read [1].
        w_noise: of the weight that is read [w].
        out_noise: before the ADC [w].
        bin_width: of the ADC [w]; 0 is continuous.
        bound: of the ADC [w].
        ir_drop: strength [1].
        wire: lines over the conductance of a wire.
        lines: number of them.
    """

    drive: float = 1.0
    w_noise: float = 0.0
    out_noise: float = 0.0
    bin_width: float = 0.0
    bound: float = np.inf
    ir_drop: float = 0.0
    wire: float = 0.0
    lines: float = 1.0

    @classmethod
    def of(cls, io: IOParameters, lines: int) -> "OneHot":
        """Reads of one among so many lines."""
        if io.is_perfect:
            return cls()
        width = io.inp_bin
        drive = min(np.rint(1 / width) * width if width > 0 else 1.0, io.inp_bound)
        return cls(
            drive=float(drive), w_noise=io.w_noise if io.w_noise_type != "none" else 0.0, out_noise=io.out_noise,
            bin_width=io.out_bin, bound=io.out_bound if io.out_bound > 0 else np.inf, ir_drop=io.ir_drop,
            wire=lines / io.ir_drop_g_ratio, lines=lines,
        )  # fmt: skip


class Writing(NamedTuple):
    """How reads are written.

    Args:
        momentum: share of the buffer that stays [1].
        longest: most pulses, or longest train.
        limit: of what stays after a transfer.
        past: weight of a read in the running mean [1].
        floor: of the root that normalises [w].
        step: pulses for each n [1].
        least: smallest average that trains write [w]; below 0: all.
        grad_scale: of a train's largest value [1].
    """

    momentum: float
    longest: float
    limit: float
    past: float
    floor: float
    step: float
    least: float
    grad_scale: float

    @classmethod
    def of(cls, what: Buffered | Smoothed | Own) -> "Writing":
        """Of what happens to a read, in a compiled kernel."""
        assert not isinstance(what, Own)
        update = what.write.update
        if isinstance(what, Smoothed):
            return cls(0.0, update.desired_bl, np.inf, 0.0, 1.0, 0.0, what.least, update.um_grad_scale)
        floor = what.normalise.floor if what.normalise else 1.0
        past, limit = what.past or 0.0, what.cap or np.inf
        return cls(what.momentum, update.desired_bl, limit, past, floor, what.write.step, -1.0, 1.0)
