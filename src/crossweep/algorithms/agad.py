"""AGAD: analog gradient accumulation with dynamic reference."""

from dataclasses import dataclass, replace

from crossweep.algorithms.chopper import Chopped
from crossweep.algorithms.moment import Moment
from crossweep.engine.program import Buffered
from crossweep.errors import FieldError
from crossweep.schema import NotNegative, Positive


@dataclass(frozen=True, kw_only=True)
class AGAD(Chopped):
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

    tail_weightening: Positive
    buffer_cap: NotNegative
    correct_accumulation: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.in_chop_prob > 0:
            raise FieldError("in_chop_prob", f"must be > 0 for AGAD, got {self.in_chop_prob}")

    def what(self, j: int, now: Moment) -> Buffered:
        period, longest = self.chopper(now).period, self.transfer_update.desired_bl
        return replace(
            super().what(j, now), past=min(self.tail_weightening / period, 1.0), silent_passes=period + 1,
            cap=0.0 if self.forget_buffer else longest * self.buffer_cap,
            most_reads=1 / now.devices[0].granularity if self.correct_accumulation else None,
        )  # fmt: skip
