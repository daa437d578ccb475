"""The reference: torch on any device, every rule, every response; the truth that other engines are tested against."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossweep.common import Each, Number
from crossweep.devices.base import Cells
from crossweep.devices.response import pulse
from crossweep.engine.base import Crossbar, Engine, Pair, Tile
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.program import Program
from crossweep.engine.pulse_plan import (
    PulsePlan,
    UpdateParameters,
    balanced,
    draw_trains,
    largest,
    plan_pulses,
    sample_counts,
    single_line_coincidences,
)  # fmt: skip
from crossweep.engine.reference import reads
from crossweep.engine.reference.apart import apart, unlike
from crossweep.engine.reference.auto_scale import scaled_rate
from crossweep.engine.reference.respond import respond
from crossweep.engine.reference.segments import blocks, segments
from crossweep.rng import Stream

if TYPE_CHECKING:
    from crossweep.engine.chain import Job

_SLOTS = 2048  # slots counted by one product: up to here whole numbers are exact even in half precision


class ReferenceEngine(Engine):
    """Readable torch; refuses nothing."""

    name = "reference"

    @apart
    def read(
        self, x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool = True
    ) -> Tensor:
        return reads.read(x, weight, io, stream, bounded=bounded)

    @apart
    def read_columns(
        self, weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice
    ) -> Tensor:
        return reads.read_slices(weight, io, stream, columns)

    def largest(self, values: Tensor) -> Tensor:
        return largest(values)

    def rates(self, base: Number, tops: Pair, averages: Pair, tau: Number) -> Tensor:
        return scaled_rate(base, tops, averages, tau)

    def plan(
        self, x: Tensor, d: Tensor, lr: Tensor | Number, granularity: Number, update: UpdateParameters,
        stream: Stream | None = None, tops: Pair | None = None,
    ) -> PulsePlan:  # fmt: skip
        tops = tops or (self.largest(x), self.largest(d))
        return plan_pulses(x, d, lr, granularity, update, stream, tops, self._balanced)

    def _balanced(
        self, rate: Tensor, tops: Pair, granularity: Number, update: UpdateParameters
    ) -> tuple[Tensor, Tensor, Tensor]:
        return balanced(rate, tops, granularity, update)

    def coincidences(self, plan: PulsePlan, stream: Stream) -> Tensor:
        return single_line_coincidences(plan, stream)

    @apart
    def update(
        self, v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
    ) -> tuple[Tensor, Tensor]:
        level = self.parameters.level
        if level == "pulse" or (level == "count" and update.pulse_type != "stochastic"):
            return in_order(v, plan, bar, update, stream)  # rounded products have no matrix form
        return at_once(v, plan, bar, stream, self.parameters.max_relaxation, expected=level == "mean")

    @apart
    def pulse(
        self, v: Tensor, w: Tensor, reference: Tensor, counts: Tensor, columns: Tensor | slice, bar: Crossbar,
        stream: Stream,
    ) -> Pair:  # fmt: skip
        cells = Cells.from_tensors({name: t[..., columns] for name, t in bar.cells.tensors().items()})
        state, given = v.clone(), torch.zeros_like(v)
        state[..., columns] = pulse_in_turn(v[..., columns], counts, Crossbar(bar.device, cells), stream)
        given[..., columns] = counts.abs()
        shown = self.show(state, reference, w, given, bar.device.write_noise, stream.fork("write_noise"))
        return state, shown

    @unlike
    def show(
        self, v: Tensor, reference: Tensor, w: Tensor, touched: Tensor, std: Number, stream: Stream
    ) -> Tensor:
        assert not isinstance(std, Each)
        if std <= 0:
            return v - reference
        noise = stream.normal(*v.shape, like=v)
        return torch.where(touched > 0, v - reference + std * noise, w)

    def refuses(self, program: Program, source: Tile, target: Tile) -> str | None:
        return "the reference goes window by window"

    def run(self, job: "Job") -> None:
        job.hand_on(0)
        for m in range(job.many):
            job.window(m)
            job.hand_on(m + 1)


def in_order(
    v: Tensor, plan: PulsePlan, bar: Crossbar, update: UpdateParameters, stream: Stream
) -> tuple[Tensor, Tensor]:
    """Level ``pulse``: as a crossbar would do it, one sample after the other, one pulse after the other."""
    pulses = torch.zeros_like(v)
    for sample in range(plan.bl.shape[-1]):
        counts = sample_counts(plan, sample, update, stream)
        v = pulse_in_turn(v, counts, bar, stream)
        pulses += bar.received(counts.clamp(min=0), -counts.clamp(max=0))
    return v, pulses


def at_once(
    v: Tensor, plan: PulsePlan, bar: Crossbar, stream: Stream, most: float, *, expected: bool
) -> tuple[Tensor, Tensor]:
    """Levels ``count`` and ``mean``: up and down counts, exact or ``expected``, in one go through the response.

    A mini-batch in which a device would relax by more than ``most`` towards its fixed point is cut into segments, so that
    the order of the samples is kept where it matters: many coarse pulses forget all but the last samples. At ``mean`` one
    normal number per device stands for pulse noise, order and counts together, independently for every device: the
    correlations along rows and columns are lost, and so is the shape of very few pulses.
    """
    given = torch.zeros_like(v)
    for start, stop in segments(plan, bar, most):
        part = plan.samples(start, stop)
        if expected:
            up, down, spread = expected_counts(part)
        else:
            net, pulses = counts(part, v, stream)
            up, down, spread = (pulses + net) / 2, (pulses - net) / 2, None
        moved = respond(v, up, down, bar, stream, blocks(part), spread)
        v = torch.where(up + down > 0, moved, v)
        given += bar.received(up, down)
    return v, given


def pulse_in_turn(v: Tensor, counts: Tensor, bar: Crossbar, stream: Stream) -> Tensor:
    """Give each device ``|counts|`` pulses in the direction of the count's sign, one at a time: [..., d,
    x]."""
    noise_stream, noisy = stream.fork("noise"), bar.response.noise > 0
    for turn in range(int(counts.abs().max()) if counts.numel() else 0):
        direction = counts.sign() * (counts.abs() > turn)
        noise = noise_stream.normal(*v.shape, like=v) if noisy else None
        v = pulse(bar.response, v, direction, bar.cells, noise)
    return v


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
