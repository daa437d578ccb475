"""Level ``count``: the same pulse trains, but their coincidences are counted and applied together."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.rng import Stream
from crossweep.tiles.engine import compiled
from crossweep.tiles.engine.base import Crossbar
from crossweep.tiles.engine.pulse import PulseEngine
from crossweep.tiles.engine.response import respond
from crossweep.tiles.engine.segments import SegmentedEngine, blocks, segments
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters, draw_trains

_SLOTS = 2048  # slots counted by one product: up to here whole numbers are exact even in half precision


@dataclass(frozen=True, kw_only=True)
class CountEngine(SegmentedEngine):
    """Exact up and down counts of a mini-batch, applied in one go through the device's response.

    A mini-batch in which a device would relax far towards its fixed point is cut into segments, so that the
    order of the samples is kept where it matters: many coarse pulses forget all but the last samples.
    """

    def apply(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        if update.pulse_type != "stochastic":  # rounded products have no matrix form
            return PulseEngine(backend=self.backend).apply(v, plan, bar, update, stream)
        if self.compiled(v):
            closed = compiled.affine(bar) or compiled.exponential(bar)
            whole = compiled.update_closed if closed else compiled.update_counted
            return whole(v, plan, bar, self.max_relaxation, stream)
        given = torch.zeros_like(v)
        for start, stop in segments(plan, bar, self.max_relaxation):
            part = plan.samples(start, stop)
            net, pulses = counts(part, v, stream)
            moved = respond(v, (pulses + net) / 2, (pulses - net) / 2, bar, stream, blocks(part))
            v = torch.where(pulses > 0, moved, v)
            given += pulses
        return v, given


def counts(plan: PulsePlan, like: Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
    """Ups minus downs, and ups plus downs, of drawn pulses: [..., d, x] each, by products over slices of the
    slots.

    On CUDA the products run in half precision: they add up in float32, and a slice holds too few slots to
        round.
    """
    dtype = torch.float16 if like.is_cuda else like.dtype
    net, total = torch.zeros_like(like), torch.zeros_like(like)
    samples = max(1, _SLOTS // plan.longest)
    for start in range(0, plan.bl.shape[-1], samples):
        trains = draw_trains(plan.samples(start, start + samples), stream)
        x, d = trains.x.to(dtype), trains.d.to(dtype).transpose(-1, -2)
        net = net - d @ x
        total = total + d.abs() @ x.abs()
    return net, total
