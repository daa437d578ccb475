"""Level ``mean``: expected counts and their variance from products of the batch; no pulse trains at all."""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossweep.rng import Stream
from crossweep.tiles.engine import compiled
from crossweep.tiles.engine.base import Crossbar
from crossweep.tiles.engine.response import respond
from crossweep.tiles.engine.segments import SegmentedEngine, blocks, segments
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters


@dataclass(frozen=True, kw_only=True)
class MeanEngine(SegmentedEngine):
    """Expected up and down counts, ``sum_b BL p_x p_d``; what their variance adds to the end state is drawn there.

    One normal number per device stands for pulse noise, order and counts together, independently for every device:
    the correlations along rows and columns are lost, and so is the shape of very few pulses.
    """

    def apply(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        shared = plan.x.shape[:-2] != v.shape[:-2]  # several devices on the same lines count alike
        if self.compiled(v) and compiled.affine(bar) and not shared:
            return compiled.update_closed(v, plan, bar, self.max_relaxation, stream, expected=True)
        given = torch.zeros_like(v)
        for start, stop in segments(plan, bar, self.max_relaxation):
            part = plan.samples(start, stop)
            up, down, spread = expected_counts(part)
            moved = respond(v, up, down, bar, stream, blocks(part), spread)
            v = torch.where(up + down > 0, moved, v)
            given += up + down
        return v, given


def expected_counts(plan: PulsePlan) -> tuple[Tensor, Tensor, Tensor]:
    """Expected up and down counts of each device, and their variance in units of the mean, [..., d, x] each.

    The variance is ``1 - q_d q_x`` of the mean, with the average probability ``q`` of a line's own pulses: exact for
    equal samples, and one product less.
    """
    p_x, p_d = plan.p_x, plan.p_d
    weighted = p_d * plan.bl.unsqueeze(-1)
    total = weighted.transpose(-1, -2) @ p_x
    net = -((weighted * plan.sign_d).transpose(-1, -2) @ (p_x * plan.sign_x))
    own_d, own_x = (
        ((p.square() * plan.bl.unsqueeze(-1)).sum(-2) / (p * plan.bl.unsqueeze(-1)).sum(-2).clamp(min=1e-12))
        for p in (p_d, p_x)
    )
    spread = (1 - own_d.unsqueeze(-1) * own_x.unsqueeze(-2)).clamp(0, 1)
    return (total + net).clamp(min=0) / 2, (total - net).clamp(min=0) / 2, spread
