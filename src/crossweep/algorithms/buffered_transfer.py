"""Transfer through a digital buffer with a threshold: the body of TTv2, c-TTv2 and AGAD."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep.algorithms.hidden_buffer import BufferRule, exact, transfer_counts
from crossweep.algorithms.schedule import Window
from crossweep.algorithms.transfer import Transfer, TransferWeight
from crossweep.errors import ConfigError
from crossweep.tiles import windows
from crossweep.tiles.digital import Digest
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.pulse_train import PulsePlan

Flags = NDArray[np.bool_]
FINE = 2500  # states beyond which one pulse is too small a transfer


@dataclass(frozen=True, kw_only=True)
class BufferedTransfer(Transfer):
    """Parameters of the buffer H between A and C; H is dimensionless, its threshold is 1.

    Args:
        buffer_granularity: threshold of H in steps of A, > 0.
        auto_granularity: if > 0, multiplies the threshold by ``auto_granularity / (I |transfer_every|)``:
            one pulse of C per ``auto_granularity * granularity / (lr * content of A)`` samples, whatever the
            tile's size.
        correct_gradient_magnitudes: divide the transfer by the rate of A, with C's step as granularity.
        step: size of one transfer in steps of C [1], > 0; None: 1/2500 of C's range, but at least one step. More
            than one needs ``transfer_update.desired_bl`` of as many.
        momentum: share of H that stays after a transfer.
        forget_buffer: drop the remainder of H at a transfer.

    Raises:
        ConfigError: a parameter breaks its rule.

    Differs: ``step`` may be larger than one; ``auto_granularity`` also acts together with
    ``correct_gradient_magnitudes``, and there is no ``thres_scale`` for chopped rules, as in the engine of aihwkit (its
    documentation says otherwise).
    """

    buffer_granularity: float = 1.0
    auto_granularity: float = 0.0
    correct_gradient_magnitudes: bool = False
    step: float | None = 1.0
    momentum: float = 0.0
    forget_buffer: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.auto_granularity >= 0:
            raise ConfigError(f"algorithm.auto_granularity: must be >= 0, got {self.auto_granularity}")
        if not self.buffer_granularity > 0:
            raise ConfigError(f"algorithm.buffer_granularity: must be > 0, got {self.buffer_granularity}")
        if self.step is not None and not self.step > 0:
            raise ConfigError(f"algorithm.step: must be > 0, or null, got {self.step}")
        self.buffer_rule  # noqa: B018  (makes its own check)

    @property
    def buffer_rule(self) -> BufferRule:
        """Threshold rule of the buffer."""
        return BufferRule(momentum=self.momentum, forget_buffer=self.forget_buffer)


class BufferedTransferWeight(TransferWeight):
    """A, H and C of one weight."""

    rule: BufferedTransfer
    hidden: Tensor

    def __init__(self, shape: tuple[int, ...], rule: BufferedTransfer, factory: TileFactory) -> None:
        super().__init__(shape, rule, factory)
        self.register_buffer("hidden", torch.zeros_like(self.fast.weight))

    @property
    def digital_values(self) -> int:
        return 1

    @property
    def step(self) -> float:
        """Steps of C that one transfer is to make: fine devices need several to move at all."""
        return max(1.0, self.slow.device.states / FINE) if self.rule.step is None else self.rule.step

    def transfer_rate(self, lr: float) -> float:
        return super().transfer_rate(lr) * (self.rule.gamma or 1.0)

    def buffer_scale(self, rate: Tensor, sample: Tensor, lr: float) -> Tensor | float:
        """lambda: what one unit of A's content adds to H; a number, or one per read [..., 1, r]."""
        rule = self.rule
        granularity = rule.buffer_granularity * self.fast.device.granularity
        if rule.auto_granularity > 0:
            granularity *= rule.auto_granularity / (self.clock.slices * abs(rule.transfer_every))
        scale = self.transfer_rate(lr) / granularity
        if not rule.correct_gradient_magnitudes:
            return scale
        ratio = self.fast.device.granularity / self.slow.device.granularity
        return scale * ratio / rate[..., sample.to(rate.device)].unsqueeze(-2)

    def run_at_once(self, plan: PulsePlan, rate: Tensor, lr: float) -> bool:
        rule, digest = self.rule, self.rule_of_reads()
        if digest is None or not exact(rule.transfer_update, self.step, as_input=not rule.transfer_columns):
            return False
        if not windows.usable(self.fast, self.slow, rule.update, rule.transfer_io):
            return False
        batch = plan.bl.shape[-1]
        since, until, reads, done = self.clock.table(batch)
        passes = torch.from_numpy(done)
        flips = rule.chopper_rule.flips(passes, done.shape, self.flips.fork("columns"), self.chop_in)
        flipped = flips.numpy() & reads
        signs = np.where(flipped, np.float32(-1), np.float32(1))
        before = np.cumprod(np.concatenate((self.chop_in.numpy()[None], signs)), 0)
        scale = self.buffer_scale(rate, torch.from_numpy(np.maximum(until - 1, 0).ravel()), lr)
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
        sent = windows.run_(
            self.fast, self.slow, plan, schedule, rule.transfer_io, digest,
            self.hidden, self.means(), self.chop_out, self.step, self.transfers,
        )  # fmt: skip
        self.chop_in = torch.from_numpy(before[-1].copy())
        count = int(reads.sum())
        self.tally.slice_reads += count
        self.tally.digital_operations += self.operations_per_value * count * self.inner[-2]
        self.tally.transfers += sent
        return True

    # What the compiled call needs of a rule; None as ``rule_of_reads`` means that there is no compiled call.

    operations_per_value = 2  # scale and add

    def rule_of_reads(self) -> Digest | None:
        """Thresholds of the buffer."""
        return None

    def means(self) -> tuple[Tensor, Tensor] | None:
        """Running mean of the reads, and what is subtracted from them."""
        return None

    def switches(self, flips: Flags, reads: Flags) -> Flags:
        """At which reads the running mean becomes what is subtracted [windows, I]."""
        return np.zeros_like(flips)

    def damped(self, scale: Tensor, passes: Tensor) -> Tensor:
        """``scale`` of each read, as the rule changes it."""
        return scale

    def transfer(
        self, value: Tensor, window: Window, columns: Tensor | slice, rate: Tensor, lr: float
    ) -> None:
        scale = self.buffer_scale(rate, window.sample, lr)
        wanted = self.digest(value, scale, window, columns)
        counts = transfer_counts(
            wanted,
            self.step,
            self.rule.transfer_update,
            self.transfers,
            as_input=not self.rule.transfer_columns,
        )
        self.slow.pulse(counts, columns)
        self.tally.digital_operations += 2 * value.numel()  # scale and add
        self.tally.transfers += int(torch.count_nonzero(counts.abs().amax(-2)))

    def digest(self, value: Tensor, scale: Tensor | float, window: Window, columns: Tensor | slice) -> Tensor:
        """Pulses wanted of C [..., O, r] after ``value`` went into the buffer."""
        filled = self.fill(value, scale, window, columns)
        wanted, kept = self.release(filled, self.rule.transfer_update.desired_bl)
        self.hidden[..., columns] = kept
        return self.gate(wanted, window.passes.to(wanted.device))

    def gains(self, scale: Tensor | float, columns: Tensor | slice) -> Tensor:
        """Chopper of each column times ``scale`` [..., r]."""
        signs = self.chop_in[..., columns]
        if isinstance(scale, Tensor) and scale.dim() > 1:  # one per read [1, r]
            scale = scale.squeeze(-2)
        return signs * scale

    # -- what the rules differ in ------------------------------------------------------------------

    @abstractmethod
    def fill(self, value: Tensor, scale: Tensor | float, window: Window, columns: Tensor | slice) -> Tensor:
        """The buffer's new content [..., O, r] for the read ``value``."""

    def release(self, filled: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Pulses wanted of C, and what the buffer keeps."""
        return self.rule.buffer_rule.release(filled, longest)

    def gate(self, wanted: Tensor, passes: Tensor) -> Tensor:
        """Pulses that are let through."""
        return wanted
