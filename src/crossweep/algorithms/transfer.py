"""What the whole Tiki-Taka family shares: a fast tile that takes the gradient, read column by column into a
slow one.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep.algorithms.auto_scale import scaled_rate
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.chopper import NO_CHOPPER, ChopperRule
from crossweep.algorithms.schedule import TransferClock, Window
from crossweep.declared import require_declared
from crossweep.errors import FieldError
from crossweep.schema import NotNegative, Share
from crossweep.tiles import windows
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.digital import Digest
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.io import IOParameters
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters, largest, micro_batches, plan_pulses

Flags = NDArray[np.bool_]
PERFECT = IOParameters(is_perfect=True)


def single_pulse() -> UpdateParameters:
    """Pulse parameters of a transfer that sends one pulse per wanted step."""
    return UpdateParameters(desired_bl=1, update_management=False, update_bl_management=False)


@dataclass(frozen=True, kw_only=True)
class Transfer(AbstractAlgorithm):
    """Parameters common to the family. Symbols: fast tile A, slow tile C, I columns of length O.

    Args:
        fast_lr: learning rate of A; with ``auto_scale`` the wanted pulses at the strongest cross-point are
            ``fast_lr * desired_bl``, whatever the size of the gradient. 0 uses the learning rate itself.
        fast_change: with ``auto_scale``, instead of ``fast_lr``: change of A that a sample wants at the strongest
            cross-point [w], so that devices of any number of states follow the gradient alike; 0 leaves it to
            ``fast_lr``.
        scale_fast_lr: multiply ``fast_lr``, or ``fast_change``, by the learning rate.
        auto_scale: divide the rate of A by running averages of ``max|x|`` and ``max|d|``.
        auto_momentum: of these averages, per mini-batch [1] in 0..1.
        update: pulse trains onto A.
        transfer_every: samples between two column reads; negative: so that the whole tile is read once per
            ``|transfer_every|`` times the number of states of A.
        units_in_mbatch: count ``transfer_every`` in mini-batches instead of samples.
        transfer_lr: rate of the transfer [1].
        scale_transfer_lr: multiply it by the learning rate.
        gamma: share of A in the visible weight, ``W = gamma A + C`` (with choppers ``gamma (c_d c_x) A +
            C``); 0 hides A.
        transfer_columns: read columns of A; else rows.
        transfer_io: periphery of these reads: ``forward``, that of all other reads of the same lines, set to the range of
            one line (``IOParameters.of_one_line``); ``perfect``; or one of its own, as it is, without noise and bound
            management.
        transfer_update: pulse trains onto C.

    Raises:
        ConfigError: a parameter breaks its rule.

    Differs: pulse trains onto A are scaled with A's own step; aihwkit takes the mean over all tiles of the
        compound. Averages of ``auto_scale`` move after every sample, as in its CPU engine (its CUDA engine:
        after every batch).
    """

    fast_lr: NotNegative = 1.0
    fast_change: NotNegative = 0.0
    scale_fast_lr: bool = False
    auto_scale: bool = True
    auto_momentum: Share = 0.99
    update: UpdateParameters = field(default_factory=lambda: UpdateParameters(desired_bl=5))
    transfer_every: float = 1.0
    units_in_mbatch: bool = False
    transfer_lr: NotNegative = 1.0
    scale_transfer_lr: bool = True
    gamma: NotNegative = 0.0
    transfer_columns: bool = True
    transfer_io: Literal["forward", "perfect"] | IOParameters = "forward"
    transfer_update: UpdateParameters = field(default_factory=single_pulse)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fast_change and not self.auto_scale:
            raise FieldError("fast_change", f"must be 0 with auto_scale=false, got {self.fast_change}")
        if self.transfer_every == 0:
            raise FieldError("transfer_every", "must not be 0, got 0")

    @property
    def chopper_rule(self) -> ChopperRule:
        """Flip rule of the columns' choppers."""
        return NO_CHOPPER

    @property
    def row_flip_prob(self) -> float:
        """Flip chance of a row's chopper per full pass."""
        return 0.0

    @property
    def reads_at_once(self) -> int:
        """Columns read at every transfer."""
        return 1


class TransferWeight(AnalogWeight):
    """State of one weight. With ``transfer_columns=False`` all tensors are kept transposed, so that a
    *slice* is always a column here; ``I`` is the number of slices, ``O`` their length.

    Source: aihwkit ``rpu_chopped_transfer_device`` (CPU engine, exact order of operations).
    """

    # what happens to a read where there is no compiled call; what it does instead says ``what_reads_do``
    _BY_WINDOW = ("transfer", "digest", "flips_after", "signs", "gains", "write", "write_slow")

    chop_in: Tensor
    chop_out: Tensor
    scale_x: Tensor
    scale_d: Tensor

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        require_declared(cls, cls._BY_WINDOW, ("what_reads_do", "rule_of_reads"), TransferWeight)
        require_declared(cls, ("fill", "release"), ("rule_of_reads",), TransferWeight)

    def __init__(self, shape: tuple[int, ...], rule: Transfer, factory: TileFactory) -> None:
        super().__init__(shape, factory)
        self.rule = rule
        *batch, d_size, x_size = shape
        self.instances = prod(batch)
        self.inner = shape if rule.transfer_columns else (*batch, x_size, d_size)
        self.fast = factory.tile("fast", self.inner)
        self.slow = factory.tile("slow", self.inner)
        like = self.fast.weight
        self.register_buffer("chop_in", torch.ones_like(like[..., 0, :]))  # +1 or -1 [..., I]
        self.register_buffer("chop_out", torch.ones_like(like[..., 0]))  # +1 or -1 [..., O]
        self.register_buffer("scale_x", torch.zeros_like(like[..., 0, 0]))
        self.register_buffer("scale_d", torch.zeros_like(like[..., 0, 0]))
        self.clock = TransferClock(slices=self.inner[-1], reads_at_once=rule.reads_at_once)
        self.flips = factory.draws.fork("choppers")
        self.transfers = factory.draws.fork("transfers")

    # -- what layers see ---------------------------------------------------------------------------

    @property
    def weight(self) -> Tensor:
        inner = self.slow.weight
        if self.rule.gamma:
            inner = inner + self.rule.gamma * self.signs() * self.residual()
        return inner if self.rule.transfer_columns else inner.transpose(-1, -2)

    def slice_io(self, tile: AnalogTile) -> IOParameters:
        """The periphery of the transfer's reads of ``tile``; rows are read as in the backward pass."""
        io = self.rule.transfer_io
        if isinstance(io, IOParameters):
            return io
        if io == "perfect":
            return PERFECT
        whole = self.forward_io if self.rule.transfer_columns else self.backward_io
        return whole.of_one_line(tile.device.largest)

    def residual(self) -> Tensor:
        """The part of A that the visible weight contains, before ``gamma`` and choppers [..., O, I]."""
        return self.fast.weight

    def signs(self, columns: Tensor | slice = slice(None)) -> Tensor:
        """Chopper sign of every device of ``columns`` [..., O, r]."""
        return self.chop_out.unsqueeze(-1) * self.chop_in[..., columns].unsqueeze(-2)

    def set_weight(self, weight: Tensor) -> None:
        """Write C, erase A, restart the clock; buffer, choppers and averages stay (as in the reference)."""
        self.slow.set_weight(weight if self.rule.transfer_columns else weight.transpose(-1, -2))
        self.fast.set_weight(torch.zeros_like(self.fast.weight))
        self.clock = TransferClock(slices=self.inner[-1], reads_at_once=self.rule.reads_at_once)

    def counters(self) -> dict[str, Any]:
        clock = {"samples": self.clock.samples, "column": self.clock.column, "passes": self.clock.passes}
        return super().counters() | {"clock": clock}

    def load_counters(self, counters: dict[str, Any]) -> None:
        super().load_counters(counters)
        self.clock = TransferClock(
            slices=self.inner[-1], reads_at_once=self.rule.reads_at_once, **counters["clock"]
        )

    # -- training ----------------------------------------------------------------------------------

    @property
    def gradient_tile(self) -> AnalogTile:
        """The tile that takes the gradient's pulses."""
        return self.fast

    def train_on(self, x: Tensor, d: Tensor, lr: float) -> None:
        batch = x.shape[-2]
        self.clock.every = self.every(batch)
        compiled = self.engine.compiled(x, d)
        tile, tops = self.gradient_tile, (largest(x, compiled=compiled), largest(d, compiled=compiled))
        rate = self.fast_rate(tops, lr)
        plan = plan_pulses(
            x, d, rate, tile.device.granularity, self.rule.update, tile.draws, tops, compiled=compiled
        )
        if not self.rule.transfer_columns:
            plan = plan.transposed()
        most, cuts = tile.micro_batch, set(self.cuts(batch))
        for start, stop in pairwise((0, *sorted(cuts | set(micro_batches(batch, most))))):
            # else all parts share the pulses of the mini-batch
            part = plan.samples(start, stop, alone=0 < most < batch)
            self._run(part, rate[..., start:stop], lr)
            self.after_segment(stop - start, lr, cut=stop in cuts)

    def cuts(self, batch: int) -> list[int]:
        """Sample counts after which something happens to all columns at once; between them windows are
        enough.
        """
        return self.clock.pass_ends(batch) if self.rule.row_flip_prob else []

    def after_segment(self, samples: int, lr: float, *, cut: bool) -> None:
        """What happens after each run of ``samples`` samples; ``cut`` tells whether it ends at a cut."""
        if cut:  # the end of a pass
            draw = self.flips.fork("rows").uniform(*self.chop_out.shape, like=self.chop_out)
            self.chop_out = torch.where(draw < self.rule.row_flip_prob, -self.chop_out, self.chop_out)

    def _run(self, plan: PulsePlan, rate: Tensor, lr: float) -> None:
        batch = plan.bl.shape[-1]
        chopped = self.rule.chopper_rule.probability > 0
        if self.rule.row_flip_prob:
            plan = plan.flip_rows(self.chop_out)
        if self.run_at_once(plan, rate, lr):
            self.clock.advance(batch)
            return
        self.before_windows(batch, lr)
        for index, window in enumerate(self.clock.windows(batch)):
            part = plan.samples(window.start, window.stop)
            if chopped:
                part = part.flip_columns(self.chop_in)
            if window.since is not None and window.until is not None:
                since, until = (t.to(self.chop_in.device) + plan.first for t in (window.since, window.until))
                part = part.within(since, until)
            if window.start < window.stop:
                self.fast.update(part, self.rule.update)
            reads = window.passes.numel()
            if reads:
                device = self.chop_in.device
                columns = window.columns if isinstance(window.columns, slice) else window.columns.to(device)
                value = self.fast.read_columns(columns, self.slice_io(self.fast))
                self.tally.slice_reads += reads * self.instances
                self.transfer(value, window, columns, rate, lr)
                if chopped:
                    flips = self.flips_after(window, columns)
                    signs = self.chop_in[..., columns]
                    self.chop_in[..., columns] = torch.where(flips, -signs, signs)
            self.after_window(index, lr)
        self.clock.advance(batch)

    def before_windows(self, batch: int, lr: float) -> None:
        """What happens before the first window of ``batch`` samples."""

    def after_window(self, index: int, lr: float) -> None:
        """What happens between the reads that end window ``index`` and the next read of the same columns."""

    def run_at_once(self, plan: PulsePlan, rate: Tensor, lr: float) -> bool:
        """Do the whole part of a mini-batch in one compiled call; False where there is none for it."""
        rule, what, target = self.rule, self.what_reads_do(lr), self.written_tile
        io = self.slice_io(self.fast)
        if what is None or not windows.covers(self.fast, target, rule.update, io):
            return False
        batch = plan.bl.shape[-1]
        self.before_windows(batch, lr)
        since, until, reads, done = self.clock.table(batch)
        passes = torch.from_numpy(done)
        flips = rule.chopper_rule.flips(passes, done.shape, self.flips.fork("columns"), self.chop_in)
        flipped = flips.numpy() & reads
        signs = np.where(flipped, np.float32(-1), np.float32(1))
        before = np.cumprod(np.concatenate((self.chop_in.numpy()[None], signs)), 0)
        scale = self.unit(rate, torch.from_numpy(np.maximum(until - 1, 0).ravel()), lr)
        table = scale.reshape(done.shape) if isinstance(scale, Tensor) else torch.full(done.shape, scale)
        schedule = windows.Schedule(
            since=since + plan.first,
            until=until + plan.first,
            sign=before[:-1],
            reads=reads,
            scale=self.damped(table, passes).numpy(),
            fresh=self.switches(flipped, reads),
            gate=self.gate(torch.ones_like(table), passes).numpy(),
        )
        for begin, end in pairwise((0, *self.breaks(len(reads)), len(reads))):
            self.tally.transfers += windows.run_(
                self.fast, target, plan, schedule.part(begin, end), io, what,
                self.held, self.means(), self.chop_out, self.transfers,
            )  # fmt: skip
            self.after_window(end - 1, lr)
        self.chop_in = torch.from_numpy(before[-1].copy())
        count = int(reads.sum())
        self.tally.slice_reads += count
        self.tally.digital_operations += self.operations_per_value(lr) * count * self.inner[-2]
        return True

    # What the compiled call needs of a rule.

    @property
    def written_tile(self) -> AnalogTile:
        """The tile that the fast one is transferred to."""
        return self.slow

    def breaks(self, many: int) -> list[int]:
        """Numbers, among ``many`` windows, of those before which something happens between the windows."""
        return []

    def what_reads_do(self, lr: float) -> Digest | windows.PulsedWrite | None:
        """What happens to a read; None: there is no compiled call for it."""
        return None

    @property
    def held(self) -> Tensor | None:
        """Digital numbers that a read changes [O, I]: the buffer, or the tracked symmetry point."""
        return None

    def operations_per_value(self, lr: float) -> int:
        """Digital operations for each number that is read."""
        return 0

    def unit(self, rate: Tensor, sample: Tensor, lr: float) -> Tensor | float:
        """What one unit of a read is worth; a number, or one per read [..., 1, r]."""
        return 1.0

    def means(self) -> tuple[Tensor, Tensor] | None:
        """Running mean of the reads, and what is subtracted from them."""
        return None

    def switches(self, flips: Flags, reads: Flags) -> Flags:
        """At which reads the running mean becomes what is subtracted [windows, I]."""
        return np.zeros_like(flips)

    def damped(self, scale: Tensor, passes: Tensor) -> Tensor:
        """``scale`` of each read, as the rule changes it."""
        return scale

    def gate(self, wanted: Tensor, passes: Tensor) -> Tensor:
        """Pulses that are let through."""
        return wanted

    def every(self, batch: int) -> int:
        """Samples between two transfers."""
        return samples_between(self.rule.transfer_every, batch, self)

    def fast_rate(self, tops: tuple[Tensor, Tensor], lr: float) -> Tensor:
        """Learning rate of A for every sample [..., b], from the largest ``|x|`` and ``|d|`` of each."""
        rule, top_x = self.rule, tops[0]
        if rule.fast_lr <= 0 and not rule.fast_change:
            return torch.full_like(top_x, lr)
        share = lr if rule.scale_fast_lr else 1.0
        if not rule.auto_scale:
            return torch.full_like(top_x, rule.fast_lr * share)
        tau = (1 - rule.auto_momentum) / top_x.shape[-1]
        pulses = rule.fast_lr * rule.update.desired_bl
        change = rule.fast_change or pulses * self.gradient_tile.device.granularity
        compiled = self.engine.compiled(*tops, self.scale_x)
        return scaled_rate(share * change, tops, (self.scale_x, self.scale_d), tau, compiled=compiled)

    def transfer_rate(self, lr: float) -> float:
        """Effective rate of the transfer."""
        return self.rule.transfer_lr * (lr if self.rule.scale_transfer_lr else 1.0)

    # -- what the rules differ in ------------------------------------------------------------------

    @abstractmethod
    def transfer(
        self, value: Tensor, window: Window, columns: Tensor | slice, rate: Tensor, lr: float
    ) -> None:
        """Do with the read ``value [..., O, r]`` of ``columns`` what the rule does."""

    def flips_after(self, window: Window, columns: Tensor | slice) -> Tensor:
        """Which of the columns flip their chopper after this read [..., r]."""
        shape = tuple(self.chop_in[..., columns].shape)
        return self.rule.chopper_rule.flips(window.passes, shape, self.flips.fork("columns"), self.chop_in)


def samples_between(wanted: float, batch: int, weight: TransferWeight) -> int:
    """``transfer_every`` as a number of samples, >= 1."""
    if wanted < 0:
        return max(1, round(weight.fast.device.states / weight.clock.slices * -wanted))
    if weight.rule.units_in_mbatch:
        return max(1, ceil(wanted * batch))
    return max(1, round(wanted))
