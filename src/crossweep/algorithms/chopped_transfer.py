"""The body that TTv2, c-TTv2 and AGAD share: fast tile, choppers, buffer, slow tile."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from crossweep.algorithms.auto_scale import running_scale
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.chopper import ChopperRule
from crossweep.algorithms.hidden_buffer import BufferRule, transfer_counts
from crossweep.algorithms.schedule import TransferClock, Window
from crossweep.errors import ConfigError
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.io import IOParameters
from crossweep.tiles.pulse_train import PulsePlan, UpdateParameters, plan_pulses


def single_pulse() -> UpdateParameters:
    """Pulse parameters of a transfer that sends one pulse per wanted step."""
    return UpdateParameters(desired_bl=1, update_management=False, update_bl_management=False)


@dataclass(frozen=True, kw_only=True)
class ChoppedTransfer(AbstractAlgorithm):
    """Parameters common to the chopped transfer rules. Symbols: fast tile A, slow tile C, buffer H, I columns.

    Args:
        fast_lr: learning rate of A; with ``auto_scale`` the wanted pulses at the strongest cross-point are
            ``fast_lr * desired_bl``, whatever the size of the gradient. 0 uses the learning rate itself.
        scale_fast_lr: multiply ``fast_lr`` by the learning rate.
        auto_scale: divide the rate of A by running averages of ``max|x|`` and ``max|d|``.
        auto_momentum: of these averages, per mini-batch [1] in 0..1.
        update: pulse trains onto A.
        transfer_every: samples between two column reads; negative: so that the whole tile is read once per
            ``|transfer_every|`` times the number of states of A.
        units_in_mbatch: count ``transfer_every`` in mini-batches instead of samples.
        transfer_lr: rate of the transfer [1].
        scale_transfer_lr: multiply it by the learning rate.
        buffer_granularity: threshold of H in steps of A, > 0.
        auto_granularity: if > 0, multiplies the threshold by ``auto_granularity / (I |transfer_every|)``: one pulse of
            C per ``auto_granularity * granularity / (lr * content of A)`` samples, whatever the tile's size.
        correct_gradient_magnitudes: divide the transfer by the rate of A, with C's step as granularity.
        step: size of one transfer pulse in steps of C [1] in (0, 1].
        momentum: share of H that stays after a transfer.
        forget_buffer: drop the remainder of H at a transfer.
        in_chop_prob: flip chance of a column's chopper per read (or 1/period).
        in_chop_random: flip at random or regularly.
        out_chop_prob: flip chance of a row's chopper per full pass.
        gamma: share of A in the visible weight, ``W = gamma (c_d c_x) A + C``; 0 hides A.
        transfer_columns: read columns of A; else rows.
        transfer_io: periphery of these reads; noise and bound management are always off for them.
        transfer_update: pulse trains onto C.

    Raises:
        ConfigError: a parameter breaks its rule.
    """

    fast_lr: float = 1.0
    scale_fast_lr: bool = False
    auto_scale: bool = True
    auto_momentum: float = 0.99
    update: UpdateParameters = field(default_factory=lambda: UpdateParameters(desired_bl=5))
    transfer_every: float = 1.0
    units_in_mbatch: bool = False
    transfer_lr: float = 1.0
    scale_transfer_lr: bool = True
    buffer_granularity: float = 1.0
    auto_granularity: float = 0.0
    correct_gradient_magnitudes: bool = False
    step: float = 1.0
    momentum: float = 0.0
    forget_buffer: bool = True
    in_chop_prob: float = 0.1
    in_chop_random: bool = True
    out_chop_prob: float = 0.0
    gamma: float = 0.0
    transfer_columns: bool = True
    transfer_io: IOParameters = field(default_factory=lambda: IOParameters(is_perfect=True))
    transfer_update: UpdateParameters = field(default_factory=single_pulse)

    def __post_init__(self) -> None:
        for name in ("fast_lr", "transfer_lr", "auto_granularity", "gamma"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"algorithm.{name}: must be >= 0, got {getattr(self, name)}")
        for name in ("auto_momentum", "out_chop_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"algorithm.{name}: must lie in 0..1, got {getattr(self, name)}")
        if not self.buffer_granularity > 0:
            raise ConfigError(f"algorithm.buffer_granularity: must be > 0, got {self.buffer_granularity}")
        if not 0 < self.step <= 1:
            raise ConfigError(f"algorithm.step: must lie in (0, 1], got {self.step}")
        if self.transfer_every == 0:
            raise ConfigError("algorithm.transfer_every: must not be 0")
        self.buffer_rule, self.chopper_rule  # noqa: B018  (their own checks)

    @property
    def buffer_rule(self) -> BufferRule:
        """Threshold rule of the buffer."""
        return BufferRule(momentum=self.momentum, forget_buffer=self.forget_buffer)

    @property
    def chopper_rule(self) -> ChopperRule:
        """Flip rule of the columns' choppers."""
        return ChopperRule(probability=self.in_chop_prob, random=self.in_chop_random)


class ChoppedTransferWeight(AnalogWeight):
    """State of one weight. With ``transfer_columns=False`` all tensors are kept transposed, so that a *slice* is always
    a column here; ``I`` is the number of slices, ``O`` their length.

    Source: aihwkit ``rpu_chopped_transfer_device`` (CPU engine, exact order of operations).
    """

    hidden: Tensor
    chop_in: Tensor
    chop_out: Tensor
    scale_x: Tensor
    scale_d: Tensor

    def __init__(self, shape: tuple[int, ...], rule: ChoppedTransfer, factory: TileFactory) -> None:
        super().__init__(shape, factory)
        self.rule = rule
        *batch, d_size, x_size = shape
        self.inner = shape if rule.transfer_columns else (*batch, x_size, d_size)
        self.fast = factory.tile("fast", self.inner)
        self.slow = factory.tile("slow", self.inner)
        like = self.fast.state
        self.register_buffer("hidden", torch.zeros_like(like))
        self.register_buffer("chop_in", torch.ones_like(like[..., 0, :]))  # +1 or -1 [..., I]
        self.register_buffer("chop_out", torch.ones_like(like[..., 0]))  # +1 or -1 [..., O]
        self.register_buffer("scale_x", torch.zeros_like(like[..., 0, 0]))
        self.register_buffer("scale_d", torch.zeros_like(like[..., 0, 0]))
        self.clock = TransferClock(slices=self.inner[-1], every=1)
        self.flips = factory.draws.fork("choppers")
        self.transfers = factory.draws.fork("transfers")

    # -- what layers see ---------------------------------------------------------------------------------------

    @property
    def weight(self) -> Tensor:
        inner = self.slow.weight
        if self.rule.gamma:
            inner = inner + self.rule.gamma * self.chop_out.unsqueeze(-1) * self.chop_in.unsqueeze(-2) * self.fast.weight
        return inner if self.rule.transfer_columns else inner.transpose(-1, -2)

    def set_weight(self, weight: Tensor) -> None:
        """Write C, erase A, restart the clock; buffer, choppers and averages stay (as in the reference)."""
        self.slow.set_weight(weight if self.rule.transfer_columns else weight.transpose(-1, -2))
        self.fast.set_weight(torch.zeros_like(self.fast.state))
        self.clock = TransferClock(slices=self.inner[-1], every=1)

    def counters(self) -> dict[str, Any]:
        return {"samples": self.clock.samples, "column": self.clock.column, "passes": self.clock.passes}

    def load_counters(self, counters: dict[str, Any]) -> None:
        self.clock = TransferClock(slices=self.inner[-1], every=1, **counters)

    # -- training ----------------------------------------------------------------------------------------------

    def apply(self, x: Tensor, d: Tensor, lr: float) -> None:
        batch = x.shape[-2]
        self.clock.every = self.every(batch)
        rate = self.fast_rate(x, d, lr)
        plan = plan_pulses(x, d, rate, self.fast.device.granularity, self.rule.update, self.fast.draws)
        if not self.rule.transfer_columns:
            plan = plan.transposed()
        start = 0
        # row choppers flip at the end of a pass, for all columns at once: a cut in time
        ends = self.clock.pass_ends(batch) if self.rule.out_chop_prob else []
        for stop in sorted({*ends, batch}):
            self._run(plan.samples(start, stop), rate[..., start:stop], lr)
            if stop in ends:
                self._flip_rows()
            start = stop

    def _run(self, plan: PulsePlan, rate: Tensor, lr: float) -> None:
        batch = plan.bl.shape[-1]
        plan = plan.flip_rows(self.chop_out.unsqueeze(-2))
        for window in self.clock.windows(batch):
            part = plan.samples(window.start, window.stop).flip_columns(self.chop_in.unsqueeze(-2))
            if window.keep is not None:
                part = part.where_columns(window.keep.to(self.hidden.device))
            if window.start < window.stop:
                self.fast.update(part, self.rule.update)
            if window.passes.numel():
                self.transfer(window, rate, lr)
        self.clock.advance(batch)

    def every(self, batch: int) -> int:
        """Samples between two reads."""
        wanted = self.rule.transfer_every
        if wanted < 0:
            return max(1, round(self.fast.device.states / self.clock.slices * -wanted))
        if self.rule.units_in_mbatch:
            return max(1, int(-(-wanted * batch // 1)))
        return max(1, round(wanted))

    def fast_rate(self, x: Tensor, d: Tensor, lr: float) -> Tensor:
        """Learning rate of A for every sample [..., b]."""
        rule, batch = self.rule, x.shape[-2]
        if rule.fast_lr <= 0:
            return torch.full_like(x[..., 0], lr)
        base = rule.fast_lr * (lr if rule.scale_fast_lr else 1.0)
        if not rule.auto_scale:
            return torch.full_like(x[..., 0], base)
        tau = (1 - rule.auto_momentum) / batch
        mean_x = running_scale(x.abs().amax(-1), self.scale_x, tau)
        mean_d = running_scale(d.abs().amax(-1), self.scale_d, tau)
        self.scale_x, self.scale_d = mean_x[..., -1], mean_d[..., -1]
        product = mean_x * mean_d
        return base * rule.update.desired_bl * self.fast.device.granularity / torch.where(product > 0, product, 1.0)

    def transfer_rate(self, lr: float) -> float:
        """Effective rate of the transfer."""
        return self.rule.transfer_lr * (lr if self.rule.scale_transfer_lr else 1.0) * (self.rule.gamma or 1.0)

    def buffer_scale(self, rate: Tensor, sample: Tensor, lr: float) -> Tensor | float:
        """lambda: what one unit of A's content adds to H; a number, or one per read [..., 1, r]."""
        rule = self.rule
        granularity = rule.buffer_granularity * self.fast.device.granularity
        if rule.auto_granularity > 0:
            granularity *= rule.auto_granularity / (self.clock.slices * abs(rule.transfer_every))
        scale = abs(self.transfer_rate(lr)) / granularity
        if not rule.correct_gradient_magnitudes:
            return scale
        ratio = self.fast.device.granularity / self.slow.device.granularity
        at_read = rate[..., sample.to(rate.device)].unsqueeze(-2)
        return scale * ratio / at_read

    def transfer(self, window: Window, rate: Tensor, lr: float) -> None:
        """Read the window's columns, fill the buffer, pulse C, flip choppers."""
        columns = window.columns if isinstance(window.columns, slice) else window.columns.to(self.hidden.device)
        value = self.fast.read_columns(columns, self.rule.transfer_io)
        sign = self.chop_out.unsqueeze(-1) * self.chop_in[..., columns].unsqueeze(-2)
        scale = self.buffer_scale(rate, window.sample, lr)
        filled = self.fill(value, sign, scale, columns)
        longest = self.rule.transfer_update.desired_bl
        wanted, kept = self.release(filled, longest)
        self.hidden[..., columns] = kept
        counts = transfer_counts(wanted, self.rule.step, self.rule.transfer_update, self.transfers)
        self.slow.pulse(self.gate(counts, window.passes), columns)
        flips = self.flips_after(window, columns)
        self.chop_in[..., columns] = torch.where(flips, -self.chop_in[..., columns], self.chop_in[..., columns])

    def _flip_rows(self) -> None:
        draw = self.flips.fork("rows").uniform(*self.chop_out.shape, like=self.chop_out)
        self.chop_out = torch.where(draw < self.rule.out_chop_prob, -self.chop_out, self.chop_out)

    # -- what the rules differ in ------------------------------------------------------------------------------

    @abstractmethod
    def fill(self, value: Tensor, sign: Tensor, scale: Tensor | float, columns: Tensor | slice) -> Tensor:
        """The buffer's new content for the read ``value [..., o, r]`` with chopper sign ``sign``."""

    def release(self, filled: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Pulses wanted of C, and what the buffer keeps."""
        return self.rule.buffer_rule.release(filled, longest)

    def gate(self, counts: Tensor, passes: Tensor) -> Tensor:
        """Pulses that are let through."""
        return counts

    def flips_after(self, window: Window, columns: Tensor | slice) -> Tensor:
        """Which of the columns flip their chopper after this read [..., r]."""
        shape = tuple(self.chop_in[..., columns].shape)
        return self.rule.chopper_rule.flips(window.passes, shape, self.flips.fork("columns"), self.chop_in)
