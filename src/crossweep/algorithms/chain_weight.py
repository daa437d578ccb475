"""The state of one weight under a rule of the Tiki-Taka family."""

from functools import partial
from itertools import pairwise
from operator import is_
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from crossweep import feed
from crossweep.algorithms.base import AnalogWeight
from crossweep.algorithms.moment import Moment
from crossweep.common import Each, Number, Rate, common, differ, lift, now, over, own
from crossweep.devices.base import AbstractDevice
from crossweep.engine.base import granularity
from crossweep.engine.chain import Chain, TransferState
from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.program import Program
from crossweep.engine.pulse_plan import micro_batches
from crossweep.tiles.factory import TileFactory

if TYPE_CHECKING:
    from crossweep.algorithms.tiki_taka import TikiTaka


@final
class ChainWeight(AnalogWeight):
    """Tiles ``fast``, ``middle_1`` .. and ``slow``, their choppers, and what transfers remember.

    With ``transfer_columns=False`` all tensors are kept transposed, so that a *slice* is always a column here; ``I`` is the
    number of slices, ``O`` their length.

    What happens is the rule's ``program``; there is nothing to override.

    Attributes:
        chain: all tiles, the finest first.
        states: what each transfer remembers.
        chop_in: sign of each column [..., I].
        chop_out: sign of each row [..., O].
        scale_x: running average of the largest input, where the rule has one [...].
        scale_d: likewise of the largest error.
        gradient: the tile that takes the gradient.
        losses: mean training loss of each epoch since this changed last.

    Source: aihwkit ``rpu_chopped_transfer_device`` (CPU engine, exact order of operations).
    """

    fed = True
    chop_in: Tensor
    chop_out: Tensor
    scale_x: Tensor
    scale_d: Tensor

    def __init_subclass__(cls) -> None:
        raise TypeError(
            f"{cls.__name__}: a rule of one's own is a program, see algorithms.tiki_taka.TikiTaka"
        )

    def __init__(self, shape: tuple[int, ...], rule: "TikiTaka", factory: TileFactory) -> None:
        super().__init__(shape, factory)
        self.rule = rule
        *batch, d_size, x_size = shape
        self.inner = shape if rule.transfer_columns else (*batch, x_size, d_size)
        self.fast = factory.tile("fast", self.inner)
        for k in range(1, rule.length - 1):
            setattr(self, f"middle_{k}", factory.tile("slow", self.inner, f"middle_{k}"))
        self.slow = factory.tile("slow", self.inner)
        self.chain = list(self.tiles().values())
        like = self.fast.weight
        self.register_buffer("chop_in", torch.ones_like(like[..., 0, :]))
        self.register_buffer("chop_out", torch.ones_like(like[..., 0]))
        self.register_buffer("scale_x", torch.zeros_like(like[..., 0, 0]))
        self.register_buffer("scale_d", torch.zeros_like(like[..., 0, 0]))
        self.flips = factory.draws.fork("choppers")
        self.draws = factory.draws.fork("transfers")
        self.gradient = rule.first_gradient
        self.losses: list[float] = []
        self._last: tuple[Any, Any, Any] = (), (), None  # of ``_known_program``
        fading = self.fast.device.symmetry_point(self.fast.cells) is not None
        self.shares = rule.shares(fading=fading)
        self.states = [TransferState(transfer, like) for transfer in self.program(1, 1.0).transfers]
        for j, state in enumerate(self.states):
            setattr(self, f"transfer_{j}", state)

    # -- what layers see ---------------------------------------------------------------------------

    @property
    def weight(self) -> Tensor:
        inner, last = self.slow.weight, self.shares[-1]
        if not lift(_is_one, last, name="whether the slow tile is scaled"):
            inner = inner * over(last, inner)
        for k, tile in enumerate(self.chain[:-1]):
            if lift(bool, self.shares[k], name="which tiles are visible"):
                shown = self._shown_of_fast() if k == 0 else tile.weight
                inner = inner + over(self.shares[k], inner) * shown
        return inner if self.rule.transfer_columns else inner.transpose(-1, -2)

    def _shown_of_fast(self) -> Tensor:
        """A with its choppers' signs, less what it is read relative to."""
        shown = self.fast.weight - self.states[0].reference if self.rule.shows_excess else self.fast.weight
        return self.chop_out.unsqueeze(-1) * self.chop_in.unsqueeze(-2) * shown

    def set_weight(self, weight: Tensor) -> None:
        """Write C, erase the other tiles, restart the clocks; buffer, choppers and averages stay (as in the reference)."""
        inner = weight if self.rule.transfer_columns else weight.transpose(-1, -2)
        self.slow.set_weight(inner / self.shares[-1])
        for tile in self.chain[:-1]:
            tile.set_weight(torch.zeros_like(tile.weight))
        for state in self.states:
            state.restart()
            if self.rule.shows_excess:
                state.forget_reference()

    # -- training ----------------------------------------------------------------------------------

    def program(self, batch: int, lr: Number) -> Program:
        """What happens in a mini-batch of ``batch`` samples; where instances differ, what they have in common."""

        def of_one(
            rule: "TikiTaka",
            lr: float,
            devices: tuple[AbstractDevice, ...],
            shares: tuple[float, ...],
            forward_io: IOParameters,
            backward_io: IOParameters,
        ) -> Program:
            moment = Moment(
                devices=devices,
                slices=self.inner[-1],
                length=self.inner[-2],
                batch=batch,
                lr=lr,
                gradient=self.gradient,
                shares=shares,
                forward_io=forward_io,
                backward_io=backward_io,
            )
            return rule.program(moment)

        devices = tuple(tile.device for tile in self.chain)
        given = self.rule, lr, devices, self.shares, self.forward_io, self.backward_io
        return lift(of_one, *given, name="program")  # type: ignore[no-any-return]

    def refuses(self) -> str | None:
        """Why mini-batches go window by window, not in one call of the engine; None: they go in one call."""
        program = self.program(1, 1.0)
        if program.gradient == len(self.states):
            return None
        return self.engine.refuses(program, *self.chain[program.gradient : program.gradient + 2])

    def train_on(self, x: Tensor, d: Tensor, lr: Rate) -> None:
        batch = x.shape[-2]
        program, engine = self._program(batch, lr, x), self.engine
        tile, tops = self.chain[program.gradient], (engine.largest(x), engine.largest(d))
        rate = self._rate(program, tops)
        plan = engine.plan(x, d, rate, granularity(tile.device), program.update, tile.draws, tops)
        if program.rows:
            plan = plan.transposed()
        self.slots.add_(plan.bl.sum(-1))  # += would make a module look up its name
        unit = self.scale.mT if program.rows and self.scale.dim() else self.scale
        chain = Chain(
            self.chain,
            self.states,
            self.chop_in,
            self.chop_out,
            torch.atleast_2d(unit),
            self.draws,
            self.flips,
            self.tally,
        )
        chain.begin(program)
        most, cuts = engine.micro_batch, chain.cuts(program, batch)
        for start, stop in pairwise((0, *sorted(cuts | set(micro_batches(batch, most))))):
            # else all parts share the pulses of the mini-batch
            part = plan.samples(start, stop, alone=0 < most < batch)
            chain.run(program, part, rate[..., start:stop])
            if stop in cuts:
                chain.flip_rows(program)
        chain.finish(program)
        self.chop_in = chain.chop_in
        if program.chopper.rows:
            self.chop_out = chain.chop_out

    def _program(self, batch: int, lr: Rate, like: Tensor) -> Program:
        """That of this mini-batch; with a feed its numbers are tensors on the device of ``like``."""

        def programs() -> list[Program]:
            whole = self.program(batch, now(lr))
            return [own(whole, i) for i in range(max(differ(whole), 1))]

        if not feed.active():
            return self._known_program(batch, now(lr))
        feed.same(lambda: [one.fixed for one in programs()])
        made = programs()
        numbers = feed.given(lambda: np.array([one.numbers for one in programs()], np.float64), like)
        fed = [one.with_numbers(row.unbind()) for one, row in zip(made, numbers.unbind(), strict=True)]
        return common(fed, "program")  # type: ignore[no-any-return]

    def _known_program(self, batch: int, lr: Number) -> Program:
        """That of most mini-batches is that of the one before."""
        if isinstance(lr, Each):
            return self.program(batch, lr)
        numbers = batch, lr, self.gradient
        given = (
            self.rule,
            self.shares,
            self.forward_io,
            self.backward_io,
            *(tile.device for tile in self.chain),
        )
        if numbers != self._last[0] or not all(map(is_, given, self._last[1])):
            self._last = numbers, given, self.program(batch, lr)
        program: Program = self._last[2]
        return program

    def _rate(self, program: Program, tops: tuple[Tensor, Tensor]) -> Tensor:
        """Learning rate of the gradient's tile for every sample [..., b], from the largest ``|x|`` and ``|d|`` of each."""
        rate: Number = lift(_rate, program, name="program.rate")
        if not lift(_averages, program, name="program.average"):
            return torch.zeros_like(tops[0]) + over(rate, tops[0])
        tau: Number = lift(partial(_share, tops[0].shape[-1]), program, name="program.average")
        return self.engine.rates(rate, tops, (self.scale_x, self.scale_d), tau)

    def end_epoch(self, loss: float) -> None:
        self.losses.append(loss)
        following = self.rule.next_gradient(self.gradient, self.losses)
        if following != self.gradient:
            self.gradient, self.losses = following, []

    # -- cost and checkpoints ----------------------------------------------------------------------

    @property
    def slice_length(self) -> int:
        return self.inner[-2]

    @property
    def digital_values(self) -> float:
        return sum(state.values for state in self.states)

    @property
    def digital_bits(self) -> float:
        each: int = lift(_bits, self.rule, name="algorithm.buffer_bits")
        return sum(len(state.memory) * (each - 32) + 32 * state.values for state in self.states)

    def counters(self) -> dict[str, Any]:
        return super().counters() | {"gradient": self.gradient, "losses": list(self.losses)}

    def load_counters(self, counters: dict[str, Any]) -> None:
        super().load_counters(counters)
        self.gradient, self.losses = counters["gradient"], list(counters["losses"])


def _is_one(share: float) -> bool:
    return share == 1


def _rate(program: Program) -> float:
    return program.rate


def _averages(program: Program) -> bool:
    return program.average is not None


def _bits(rule: "TikiTaka") -> int:
    return getattr(rule, "buffer_bits", 0) or 32


def _share(samples: int, program: Program) -> float:
    assert program.average is not None
    return program.average / samples
