"""Triton kernels on a GPU, float32; the reference's torch where there is none."""

import logging
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossweep.engine.base import Crossbar, Tile
from crossweep.engine.cuda import reads, updates, windows
from crossweep.engine.cuda.devices import closed
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.program import Program
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters
from crossweep.engine.reference.engine import ReferenceEngine
from crossweep.rng import Stream

if TYPE_CHECKING:
    from crossweep.engine.chain import Job

log = logging.getLogger(__name__)


@cache
def _say(what: str, reason: str) -> None:
    """Once for each reason."""
    log.warning("the cuda engine leaves %s to the reference, which is slow: %s", what, reason)


def fits(*tensors: Tensor) -> bool:
    """Whether kernels take these tensors: float32 (choose.py sees to the device)."""
    return all(t.dtype == torch.float32 for t in tensors)


class CUDAEngine(ReferenceEngine):
    """Each method is the reference's, faster, with the random numbers of the CPU engine; what no kernel covers goes to the
    reference."""

    name = "cuda"

    def read(
        self, x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool = True
    ) -> Tensor:
        if io.is_perfect or not (fits(x, weight) and reads.covers(x, weight, stream)):
            return super().read(x, weight, io, stream, bounded=bounded)
        return reads.read(x, weight, io, stream, bounded=bounded)

    def read_columns(
        self, weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice
    ) -> Tensor:
        alone = weight.dim() == 2 + len(stream.lead)
        if io.is_perfect or io.inp_noise or io.ir_drop or not (alone and fits(weight)):
            return super().read_columns(weight, io, stream, columns)
        return reads.read_slices(weight, io, stream, columns)

    def coincidences(self, plan: PulsePlan, stream: Stream) -> Tensor:
        if not fits(plan.x, plan.d):
            return super().coincidences(plan, stream)
        return updates.coincidences(plan, stream)

    def update(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        level, most = self.parameters.level, self.parameters.max_relaxation
        known = fits(v) and closed(bar, level)
        if level == "mean":
            known &= plan.x.shape[:-2] == v.shape[:-2]  # several devices on the same lines count alike
        else:
            known &= update.pulse_type == "stochastic"
        if not known:
            _say(
                "pulsed updates",
                "of its device, or of a pulse type that is not stochastic, there is no kernel",
            )
            return super().update(v, plan, bar, update, stream)
        return updates.update(v, plan, bar, level, most, stream)

    def pulse(
        self,
        v: Tensor,
        w: Tensor,
        reference: Tensor,
        counts: Tensor,
        columns: Tensor | slice,
        bar: Crossbar,
        stream: Stream,
    ) -> tuple[Tensor, Tensor]:
        if not (fits(v, counts) and closed(bar, "pulse")):
            return super().pulse(v, w, reference, counts, columns, bar, stream)
        every = torch.arange(v.shape[-1], device=v.device)[columns]
        return updates.give(v, w, reference, counts, every, bar, stream.fork("given"))

    def show(
        self, v: Tensor, reference: Tensor, w: Tensor, touched: Tensor, std: float, stream: Stream
    ) -> Tensor:
        if std <= 0 or not fits(v):
            return super().show(v, reference, w, touched, std, stream)
        return updates.show(v, reference, w, touched, std, stream)

    def refuses(self, program: Program, source: Tile, target: Tile) -> str | None:
        return windows.refuses(program, source, target)

    def run(self, job: "Job") -> None:
        reason = self.refuses(job.program, job.source, job.target)
        if reason:
            _say("mini-batches", reason)
            super().run(job)
            return
        job.hand_on(0)
        for begin, end in pairwise((0, *job.places, job.many)):
            windows.run_(job, begin, end)
            job.hand_on(end)
