"""Triton kernels on a GPU, float32; the reference's torch where there is none."""

import logging
from functools import cache

import torch
from torch import Tensor

from crossweep import feed
from crossweep.common import Number, differ, of_each
from crossweep.devices.response import Affine
from crossweep.engine.base import Crossbar, Tile
from crossweep.engine.compiled import CompiledEngine
from crossweep.engine.cuda import reads, updates, windows
from crossweep.engine.program import Program
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters
from crossweep.rng import Stream

log = logging.getLogger(__name__)


@cache
def _say(what: str, reason: str) -> None:
    """Once for each reason."""
    log.warning("the cuda engine leaves %s to the reference, which is slow: %s", what, reason)


class CUDAEngine(CompiledEngine):
    """The random numbers of the CPU engine, on a GPU."""

    name = "cuda"
    in_order = Affine
    read_kernel = staticmethod(reads.read)
    read_columns_kernel = staticmethod(reads.read_slices)
    coincidences_kernel = staticmethod(updates.coincidences)
    pulse_kernel = staticmethod(updates.give)
    windows_kernel = staticmethod(windows.run_)

    def fits(self, *tensors: Tensor) -> bool:
        return all(t.dtype == torch.float32 for t in tensors)  # choose.py sees to the device

    def leaves(self, what: str, reason: str) -> None:
        _say(what, reason)
        feed.refuse(reason)

    def update(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        level, most = self.parameters.level, self.parameters.max_relaxation
        known = self.fits(v) and self.closed(bar, level)
        if level == "mean":
            known &= plan.x.shape[:-2] == v.shape[:-2]  # several devices on the same lines count alike
        else:
            known &= update.pulse_type == "stochastic"
        if not known:
            self.leaves(
                "pulsed updates", "there is no kernel for this device or type of pulses at this level"
            )
            return super().update(v, plan, bar, update, stream)
        return updates.update(v, plan, bar, level, most, stream)

    def show(
        self, v: Tensor, reference: Tensor, w: Tensor, touched: Tensor, std: Number, stream: Stream
    ) -> Tensor:
        each = of_each(max(differ(std), 1), float, std)
        if max(each) <= 0 or not self.fits(v):
            return super().show(v, reference, w, touched, std, stream)
        return updates.show(v, reference, w, touched, each, stream)

    def refuses_too(self, program: Program, source: Tile, target: Tile) -> str | None:
        return windows.refuses(program, source)
