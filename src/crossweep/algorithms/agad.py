"""AGAD: analog gradient accumulation with dynamic reference."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossweep.algorithms.buffered_transfer import BufferedTransfer, BufferedTransferWeight
from crossweep.algorithms.chopper import Chopped
from crossweep.algorithms.schedule import Window
from crossweep.algorithms.transfer import Flags
from crossweep.errors import FieldError
from crossweep.schema import NotNegative, Positive
from crossweep.tiles.digital import Digest, digest_
from crossweep.tiles.factory import TileFactory


@dataclass(frozen=True, kw_only=True)
class AGAD(Chopped, BufferedTransfer):
    """Chopped TTv2 that reads A relative to a digital reference: A's running mean at the last chopper flip.

    ``H += c (v - p) lambda``; ``mu <- (1 - beta) mu + beta v``; at a flip ``p <- mu``, with
    ``beta = min(tail_weightening / period, 1)``. Within a phase A drifts to symmetry point plus or minus
    signal; in the next phase the signal's sign is inverted, so ``v - p`` grows to twice the signal and the
    symmetry point cancels without ever being known. Nothing is written before each column has seen a full
    period.

    Args:
        tail_weightening: weight of the last reads of a phase in the reference, > 0.
        buffer_cap: with ``forget_buffer = false``, H is clipped to this many longest pulse trains; 0 is off.
        correct_accumulation: divide each read by the number of reads since the last regular flip.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024), eq. 13; aihwkit ``DynamicTransferCompound`` (CPU
        engine).
    Differs: ``in_chop_random`` flips at random only, as in the paper and in aihwkit's CUDA engine; its CPU
        engine flips regularly as well. There is no test of significance before a transfer, as in the engine
        (its documentation speaks of one).
    """

    in_chop_random: bool = False
    tail_weightening: Positive = 5.0
    buffer_cap: NotNegative = 0.0
    correct_accumulation: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.in_chop_prob > 0:
            raise FieldError("in_chop_prob", f"must be > 0 for AGAD, got {self.in_chop_prob}")

    @property
    def beta(self) -> float:
        """Weight of a new read in the running mean."""
        return min(self.tail_weightening / self.chopper_rule.period, 1.0)

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "AGADWeight":
        return AGADWeight(shape, self, factory)


class AGADWeight(BufferedTransferWeight):
    """A, C, H, choppers and the two means of one weight."""

    rule: AGAD
    running_mean: Tensor
    past_mean: Tensor
    switched: Tensor

    def __init__(self, shape: tuple[int, ...], rule: AGAD, factory: TileFactory) -> None:
        super().__init__(shape, rule, factory)
        self.register_buffer("running_mean", torch.zeros_like(self.hidden))
        self.register_buffer("past_mean", torch.zeros_like(self.hidden))
        self.register_buffer("switched", torch.zeros_like(self.chop_in, dtype=torch.bool))  # [..., I]

    @property
    def digital_values(self) -> int:
        return 3

    def fill(self, value: Tensor, scale: Tensor | float, window: Window, columns: Tensor | slice) -> Tensor:
        rule = self.rule
        scale = self._damped(scale, window)
        mean, fresh = self.running_mean[..., columns], self.switched[..., columns].unsqueeze(-2)
        past = torch.where(fresh, mean, self.past_mean[..., columns])
        self.past_mean[..., columns] = past
        self.switched[..., columns] = False
        self.running_mean[..., columns] = (1 - rule.beta) * mean + rule.beta * value
        self.tally.digital_operations += (
            4 * value.numel()
        )  # subtract, two products and a sum, beyond H's own two
        return self.hidden[..., columns] + self.signs(columns) * (value - past) * scale

    def operations_per_value(self, lr: float) -> int:
        return 6  # H's two, and subtract, two products and a sum

    def rule_of_reads(self) -> Digest:
        rule, longest = self.rule, self.rule.transfer_update.desired_bl
        return Digest(
            momentum=rule.momentum,
            forget_buffer=rule.forget_buffer,
            longest=longest,
            cap=0.0 if rule.forget_buffer else max(longest * rule.buffer_cap, 0.0),
            beta=rule.beta,
        )

    def means(self) -> tuple[Tensor, Tensor]:
        return self.running_mean, self.past_mean

    def switches(self, flips: Flags, reads: Flags) -> Flags:
        before = self.switched.numpy()
        # a column that is read no more in this batch keeps what its last read left behind
        many = reads.sum(0)
        after = flips[np.maximum(many, 1) - 1, np.arange(many.size)]
        self.switched = torch.from_numpy(np.where(many > 0, after, before))
        return np.concatenate((before[None], flips[:-1]))

    def damped(self, scale: Tensor, passes: Tensor) -> Tensor:
        if not self.rule.correct_accumulation:
            return scale
        since = passes.to(scale.device) % self.rule.chopper_rule.period + 1
        return scale / since.clamp(max=1 / self.fast.device.granularity)

    def digest(self, value: Tensor, scale: Tensor | float, window: Window, columns: Tensor | slice) -> Tensor:
        reads = self.rule_of_reads()
        if reads is None or not self.compiled:
            return super().digest(value, scale, window, columns)
        fresh = self.switched[..., columns]
        gain = self.gains(self._damped(scale, window), columns)
        wanted = digest_(
            value,
            self.hidden,
            columns,
            reads,
            row_sign=self.chop_out,
            gain=gain,
            gate=window.passes > self.rule.chopper_rule.period,
            means=(*self.means(), fresh),
        )
        self.switched[..., columns] = False
        self.tally.digital_operations += 4 * value.numel()
        return wanted

    def _damped(self, scale: Tensor | float, window: Window) -> Tensor | float:
        if not self.rule.correct_accumulation:
            return scale
        return self.damped(torch.as_tensor(scale, device=self.hidden.device), window.passes)

    def release(self, filled: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        n, kept = super().release(filled, longest)
        cap = longest * self.rule.buffer_cap
        if cap > 0 and not self.rule.forget_buffer:
            kept = torch.where(n != 0, kept.clamp(-cap, cap), kept)
        return n, kept

    def gate(self, wanted: Tensor, passes: Tensor) -> Tensor:
        # H is emptied all the same, as in the reference
        return wanted * (passes > self.rule.chopper_rule.period)

    def flips_after(self, window: Window, columns: Tensor | slice) -> Tensor:
        flips = super().flips_after(window, columns)
        self.switched[..., columns] = flips
        return flips
