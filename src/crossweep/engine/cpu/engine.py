"""Compiled kernels on a CPU, float32; the reference's torch where there is none."""

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crossweep.engine.base import Crossbar, Pair, Tile
from crossweep.engine.cpu import reads, updates, windows
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.program import Program
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters
from crossweep.engine.reference.engine import ReferenceEngine
from crossweep.rng import Stream

if TYPE_CHECKING:
    from crossweep.engine.chain import Job


def fits(*tensors: Tensor) -> bool:
    """Whether kernels take these tensors: float32 on the CPU."""
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


class CPUEngine(ReferenceEngine):
    """Each method is the reference's, faster; what no kernel covers goes there."""

    name = "cpu"

    @property
    def compiled(self) -> bool:
        from crossweep.engine.cpu.kernels.jit import any_kept

        return any_kept()

    def read(
        self, x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool = True
    ) -> Tensor:
        if io.is_perfect or not (fits(x, weight) and reads.covers(x, weight, stream)):
            return super().read(x, weight, io, stream, bounded=bounded)
        return reads.read(x, weight, io, stream, bounded=bounded)

    def read_columns(
        self, weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice
    ) -> Tensor:
        mixed = io.inp_noise != 0 or io.ir_drop != 0
        if io.is_perfect or mixed or not (fits(weight) and reads.covers(weight, weight, stream)):
            return super().read_columns(weight, io, stream, columns)
        return reads.read_slices(weight, io, stream, columns)

    def largest(self, values: Tensor) -> Tensor:
        if not fits(values):
            return super().largest(values)
        from crossweep.engine.cpu.kernels.batch import largest_rows
        from crossweep.engine.cpu.kernels.threads import spread

        vectors = values.detach().reshape(-1, values.shape[-1]).numpy()
        out = torch.empty(values.shape[:-1])
        work: Any = partial(largest_rows, vectors, out.reshape(-1).numpy())
        spread(work, vectors.shape[0], 0.3 * vectors.size)
        return out

    def rates(self, base: float, tops: Pair, averages: Pair, tau: float) -> Tensor:
        if not fits(*tops, *averages):
            return super().rates(base, tops, averages, tau)
        from crossweep.engine.cpu.kernels.batch import rates_of

        top_x, top_d = (top.expand(*averages[0].shape, top.shape[-1]) for top in tops)
        out, series = torch.empty(top_x.shape), (-1, top_x.shape[-1])
        largest_x, largest_d = (top.reshape(series).numpy() for top in (top_x, top_d))
        start_x, start_d = (average.view(-1).numpy() for average in averages)
        rates_of(largest_x, largest_d, start_x, start_d, tau, base, out.view(series).numpy())
        return out

    def _balanced(
        self, rate: Tensor, tops: Pair, granularity: float, update: UpdateParameters
    ) -> tuple[Tensor, Tensor, Tensor]:
        if not (fits(rate, *tops) and rate.shape == tops[0].shape == tops[1].shape):
            return super()._balanced(rate, tops, granularity, update)
        from crossweep.engine.cpu.kernels.batch import balance

        given = (t.detach().reshape(-1).numpy() for t in (rate, *tops))
        out = torch.empty(3, *rate.shape)
        numbers = granularity, update.um_grad_scale, update.desired_bl, update.update_bl_management
        balance(*given, *numbers, *out.view(3, -1).numpy())  # type: ignore[call-arg]
        return out[0], out[1], out[2]

    def coincidences(self, plan: PulsePlan, stream: Stream) -> Tensor:
        if not fits(plan.x, plan.d):
            return super().coincidences(plan, stream)
        return updates.count_samples(plan, stream)

    def update(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        level, most = self.parameters.level, self.parameters.max_relaxation
        fit, closed = fits(v), updates.closed(bar, level)
        trains = fit and update.pulse_type == "stochastic"
        if trains and level == "count":
            whole = updates.update_closed if closed else updates.update_counted
            return whole(v, plan, bar, most, stream)
        if trains and closed and level == "pulse":
            return updates.update_in_order(v, plan, bar, stream)
        shared = plan.x.shape[:-2] != v.shape[:-2]  # several devices on the same lines count alike
        if fit and closed and level == "mean" and not shared:
            return updates.update_closed(v, plan, bar, most, stream, expected=True)
        return super().update(v, plan, bar, update, stream)

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
        if not (fits(v, counts) and updates.closed(bar, "pulse")):
            return super().pulse(v, w, reference, counts, columns, bar, stream)
        every = torch.arange(v.shape[-1])[columns]
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
        if self.refuses(job.program, job.source, job.target):
            super().run(job)
            return
        job.hand_on(0)
        for begin, end in pairwise((0, *job.places, job.many)):
            windows.run_(job, begin, end)
            job.hand_on(end)
