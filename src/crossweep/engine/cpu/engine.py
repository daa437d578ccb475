"""Compiled kernels on a CPU, float32; the reference's torch where there is none."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from crossweep.common import Each, Number
from crossweep.engine.base import Crossbar, Pair, Tile
from crossweep.engine.compiled import KNOWN, CompiledEngine
from crossweep.engine.cpu import reads, updates, windows
from crossweep.engine.program import Program
from crossweep.engine.pulse_plan import PulsePlan, UpdateParameters
from crossweep.engine.reference.apart import unlike
from crossweep.rng import Stream


class CPUEngine(CompiledEngine):
    """Numba's kernels."""

    name = "cpu"
    in_order = KNOWN
    read_kernel = staticmethod(unlike(reads.read))
    read_columns_kernel = staticmethod(reads.read_slices)
    coincidences_kernel = staticmethod(updates.count_samples)
    pulse_kernel = staticmethod(updates.give)
    windows_kernel = staticmethod(windows.run_)

    @property
    def compiled(self) -> bool:
        from crossweep.engine.cpu.kernels.jit import any_kept

        return any_kept()

    def fits(self, *tensors: Tensor) -> bool:
        return all(t.is_cpu and t.dtype is torch.float32 for t in tensors)

    def largest(self, values: Tensor) -> Tensor:
        if not self.fits(values):
            return super().largest(values)
        from crossweep.engine.cpu.kernels.batch import largest_rows
        from crossweep.engine.cpu.kernels.threads import spread

        vectors = values.detach().reshape(-1, values.shape[-1]).numpy()
        out = torch.empty(values.shape[:-1])
        work: Any = partial(largest_rows, vectors, out.reshape(-1).numpy())
        spread(work, vectors.shape[0], 0.3 * vectors.size)
        return out

    @unlike
    def rates(self, base: Number, tops: Pair, averages: Pair, tau: Number) -> Tensor:
        if not self.fits(*tops, *averages):
            return super().rates(base, tops, averages, tau)
        from crossweep.engine.cpu.kernels.batch import rates_of

        top_x, top_d = (top.expand(*averages[0].shape, top.shape[-1]) for top in tops)
        out, series = torch.empty(top_x.shape), (-1, top_x.shape[-1])
        largest_x, largest_d = (top.reshape(series).numpy() for top in (top_x, top_d))
        start_x, start_d = (average.view(-1).numpy() for average in averages)
        rates_of(largest_x, largest_d, start_x, start_d, tau, base, out.view(series).numpy())
        return out

    @unlike
    def _balanced(
        self, rate: Tensor, tops: Pair, granularity: Number, update: UpdateParameters
    ) -> tuple[Tensor, Tensor, Tensor]:
        if not (self.fits(rate, *tops) and rate.shape == tops[0].shape == tops[1].shape):
            return super()._balanced(rate, tops, granularity, update)
        from crossweep.engine.cpu.kernels.batch import balance

        given = (t.detach().reshape(-1).numpy() for t in (rate, *tops))
        out = torch.empty(3, *rate.shape)
        numbers = granularity, update.um_grad_scale, update.desired_bl, update.update_bl_management
        balance(*given, *numbers, *out.view(3, -1).numpy())  # type: ignore[call-arg]
        return out[0], out[1], out[2]

    def update(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        level, most = self.parameters.level, self.parameters.max_relaxation
        fit, known = self.fits(v), self.closed(bar, level)
        trains = fit and update.pulse_type == "stochastic"
        if trains and level == "count":
            whole = updates.update_closed if known else updates.update_counted
            return whole(v, plan, bar, most, stream)
        if trains and known and level == "pulse":
            return updates.update_in_order(v, plan, bar, stream)
        shared = plan.x.shape[:-2] != v.shape[:-2]  # several devices on the same lines count alike
        if fit and known and level == "mean" and not shared:
            return updates.update_closed(v, plan, bar, most, stream, expected=True)
        return super().update(v, plan, bar, update, stream)

    @unlike
    def show(
        self, v: Tensor, reference: Tensor, w: Tensor, touched: Tensor, std: Number, stream: Stream
    ) -> Tensor:
        assert not isinstance(std, Each)
        if std <= 0 or not self.fits(v):
            return super().show(v, reference, w, touched, std, stream)
        return updates.show(v, reference, w, touched, std, stream)

    def refuses_too(self, program: Program, source: Tile, target: Tile) -> str | None:
        return windows.refuses(source, target)
