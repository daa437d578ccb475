"""What engines with compiled kernels share: what no kernel covers goes to the reference."""

from abc import abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from crossweep.devices.response import Affine, Exponential, Power, Table
from crossweep.engine.base import Crossbar, Pair, Tile
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.program import Buffered, Own, Program, Smoothed
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.engine.reference.apart import unlike
from crossweep.engine.reference.engine import ReferenceEngine
from crossweep.rng import Stream

if TYPE_CHECKING:
    from crossweep.engine.chain import Job

KNOWN = Affine | Exponential | Power | Table  # responses that the kernels know


class CompiledEngine(ReferenceEngine):
    """Each method is the reference's, faster.

    Subclasses bring ``fits`` and the kernels below, and more of the contract as they can.

    Attributes:
        in_order: responses that kernels take pulse by pulse.
        read_kernel: ``read`` for one crossbar of each instance and inputs that need no gradient.
        read_columns_kernel: ``read_columns`` for one crossbar of each instance, without effects of other lines.
        coincidences_kernel: ``coincidences``.
        pulse_kernel: ``pulse``; columns are numbers.
        windows_kernel: windows from one number to another of a job that is not refused.
    """

    in_order: ClassVar[Any]
    read_kernel: "ClassVar[staticmethod[..., Tensor]]"
    read_columns_kernel: "ClassVar[staticmethod[[Tensor, IOParameters, Stream, Tensor | slice], Tensor]]"
    coincidences_kernel: "ClassVar[staticmethod[[PulsePlan, Stream], Tensor]]"
    pulse_kernel: "ClassVar[staticmethod[[Tensor, Tensor, Tensor, Tensor, Tensor, Crossbar, Stream], Pair]]"
    windows_kernel: "ClassVar[staticmethod[[Job, int, int], None]]"

    @abstractmethod
    def fits(self, *tensors: Tensor) -> bool:
        """Whether kernels take tensors of this type and place."""

    def closed(self, bar: Crossbar, level: str) -> bool:
        """Whether kernels know what pulses do to these devices at a level."""
        return issubclass(bar.kind, self.in_order if level == "pulse" else KNOWN)

    def refuses_too(self, program: Program, source: Tile, target: Tile) -> str | None:
        """What this engine refuses beyond the others."""
        return None

    def leaves(self, what: str, reason: str) -> None:
        """Something goes to the reference: say so where that matters."""

    def read(
        self, x: Tensor, weight: Tensor, io: IOParameters, stream: Stream, *, bounded: bool = True
    ) -> Tensor:
        covered = weight.dim() == 2 + len(stream.lead) and not x.requires_grad
        if io.is_perfect or not (covered and self.fits(x, weight)):
            return super().read(x, weight, io, stream, bounded=bounded)
        return self.read_kernel(x, weight, io, stream, bounded=bounded)

    @unlike
    def read_columns(
        self, weight: Tensor, io: IOParameters, stream: Stream, columns: Tensor | slice
    ) -> Tensor:
        covered = weight.dim() == 2 + len(stream.lead) and not io.inp_noise and not io.ir_drop
        if io.is_perfect or not (covered and self.fits(weight)):
            return super().read_columns(weight, io, stream, columns)
        return self.read_columns_kernel(weight, io, stream, columns)

    def coincidences(self, plan: PulsePlan, stream: Stream) -> Tensor:
        if not self.fits(plan.x, plan.d):
            return super().coincidences(plan, stream)
        return self.coincidences_kernel(plan, stream)

    def pulse(
        self, v: Tensor, w: Tensor, reference: Tensor, counts: Tensor, columns: Tensor | slice, bar: Crossbar,
        stream: Stream,
    ) -> Pair:  # fmt: skip
        if not (self.fits(v, counts) and self.closed(bar, "pulse")):
            return super().pulse(v, w, reference, counts, columns, bar, stream)
        every = torch.arange(v.shape[-1], device=v.device)[columns]
        return self.pulse_kernel(v, w, reference, counts, every, bar, stream.fork("given"))

    def refuses(self, program: Program, source: Tile, target: Tile) -> str | None:
        transfer, level = program.transfers[program.gradient], self.parameters.level
        io, tiles = transfer.io, (source, target)
        reasons = {
            "several devices make a weight": any(tile.device.n_devices > 1 for tile in tiles),
            "several crossbars lie side by side": source.state.dim() != 2 + len(source.draws.lead),
            "pulses of the gradient are not stochastic": program.update.pulse_type != "stochastic",
            "reads are rounded at random": not io.is_perfect and (io.inp_sto_round or io.out_sto_round),
            "a device's steps have no closed form": not all(self.closed(tile.bar, level) for tile in tiles),
        }
        first = next((reason for reason, holds in reasons.items() if holds), None)
        written = _refuses(transfer.what, rows=program.rows)
        return first or written or self.refuses_too(program, source, target)

    def run(self, job: "Job") -> None:
        reason = self.refuses(job.program, job.source, job.target)
        if reason:
            self.leaves("mini-batches", reason)
            super().run(job)
            return
        job.hand_on(0)
        for begin, end in pairwise((0, *job.places, job.many)):
            self.windows_kernel(job, begin, end)
            job.hand_on(end)


def _refuses(what: Buffered | Smoothed | Own, *, rows: bool) -> str | None:
    if isinstance(what, Own):
        return "what happens to a read is Python"
    if isinstance(what, Buffered):
        return None if what.write.is_exact(rows=rows) else "transfers are written at random"
    update = what.write.update
    return "transfers are not stochastic" if update.pulse_type != "stochastic" or update.res else None
