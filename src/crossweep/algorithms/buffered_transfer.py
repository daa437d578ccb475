"""Transfer through a digital buffer with a threshold: the body of TTv2, c-TTv2 and AGAD."""

from abc import abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossweep.algorithms.hidden_buffer import BufferRule, exact, transfer_counts
from crossweep.algorithms.schedule import Window
from crossweep.algorithms.transfer import Transfer, TransferWeight
from crossweep.schema import NotNegative, Positive, Share
from crossweep.tiles.digital import Digest
from crossweep.tiles.factory import TileFactory

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

    buffer_granularity: Positive = 1.0
    auto_granularity: NotNegative = 0.0
    correct_gradient_magnitudes: bool = False
    step: Positive | None = 1.0
    momentum: Share = 0.0
    forget_buffer: bool = True

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

    def what_reads_do(self, lr: float) -> Digest | None:
        rule = self.rule
        certain = exact(rule.transfer_update, self.step, as_input=not rule.transfer_columns)
        reads = self.rule_of_reads()
        return replace(reads, step=self.step) if certain and reads is not None else None

    def unit(self, rate: Tensor, sample: Tensor, lr: float) -> Tensor | float:
        return self.buffer_scale(rate, sample, lr)

    @property
    def held(self) -> Tensor:
        return self.hidden

    def operations_per_value(self, lr: float) -> int:
        return 2  # scale and add

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
            compiled=self.engine.compiled(wanted),
        )
        self.slow.pulse(counts, columns)
        self.tally.digital_operations += 2 * value.numel()  # scale and add
        self.tally.transfers += int(torch.count_nonzero(counts.abs().amax(-2)))

    @property
    def compiled(self) -> bool:
        """Whether the compiled kernel works on the buffer."""
        return self.engine.compiled(self.hidden) and self.hidden.is_contiguous()

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
    def rule_of_reads(self) -> Digest | None:
        """``fill`` and ``release`` as the compiled kernels do them; None: they cannot."""

    @abstractmethod
    def fill(self, value: Tensor, scale: Tensor | float, window: Window, columns: Tensor | slice) -> Tensor:
        """The buffer's new content [..., O, r] for the read ``value``."""

    def release(self, filled: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Pulses wanted of C, and what the buffer keeps."""
        return self.rule.buffer_rule.release(filled, longest)
