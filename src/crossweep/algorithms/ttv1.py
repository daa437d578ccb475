"""Tiki-Taka version 1, with any number of tiles; with ``gamma > 0`` it is residual learning."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from crossweep.algorithms.pulsed_transfer import PulsedTransfer, PulsedTransferWeight
from crossweep.algorithms.schedule import TransferClock, Window
from crossweep.algorithms.transfer import samples_between
from crossweep.errors import FieldError
from crossweep.schema import Count, NotNegative, Positive, Range
from crossweep.tiles.analog_tile import AnalogTile
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.windows import PulsedWrite

# columns that are read, by turn and tile; at each place, the number of reads of the same column of A before
Agenda = dict[int, dict[tuple[int, int], list[int]]]


@dataclass(frozen=True, kw_only=True)
class TTv1(PulsedTransfer):
    """Tiles ``W_0`` (fast) to ``W_(n-1)`` (last); each is read column by column into the next one by a
    pulsed update ``W_(j+1) += transfer_lr W_j``; the visible weight is ``sum_k gamma_k W_k``.

    Args:
        n_tiles: number of tiles n, >= 2.
        gamma_vec: ``gamma_k``, fast tile first; empty: ``gamma_(n-1-i) = gamma^i``, so that ``gamma = 0``
            shows the last tile alone.
        transfer_every_vec: samples (or mini-batches) between transfers out of tile j; empty:
            ``transfer_every``, and ``O / n_reads_per_transfer`` times as many from tile to tile, one full
            pass of the tile before.
        transfer_lr_vec: rate of the transfer out of tile j; empty: ``transfer_lr`` for all.
        n_reads_per_transfer: columns read at every transfer, >= 1.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Gokmen & Haensch, Front. Neurosci. 14:103 (2020); with gamma: Wu et al., arXiv 2502.06309, eqs.
        10-11; aihwkit ``TransferCompound`` (1.2.0: scale_fast_lr true, units_in_mbatch true, no auto_scale).
    Differs: without ``transfer_every_vec`` the period grows with the *length of a column*, as in the engine
        (its documentation says with their number). No reset after a transfer, columns in order.
    """

    n_tiles: Annotated[int, Range(least=2, most=20)] = 2
    gamma_vec: tuple[NotNegative, ...] = ()
    transfer_every_vec: tuple[Positive, ...] = ()
    transfer_lr_vec: tuple[NotNegative, ...] = ()
    n_reads_per_transfer: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gamma_vec", "transfer_every_vec", "transfer_lr_vec"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        transfers = self.n_tiles - 1
        for name, length in (
            ("gamma_vec", self.n_tiles),
            ("transfer_every_vec", transfers),
            ("transfer_lr_vec", transfers),
        ):
            if len(getattr(self, name)) not in (0, length):
                raise FieldError(name, f"must hold {length} numbers, got {list(getattr(self, name))}")
        if not self.gammas[-1] > 0:
            raise FieldError("gamma_vec", f"the last must be > 0, got {list(self.gamma_vec)}")

    @property
    def gammas(self) -> tuple[float, ...]:
        """Share of every tile in the visible weight."""
        powers = range(self.n_tiles - 1, -1, -1)
        return self.gamma_vec or tuple(float(self.gamma) ** power for power in powers)

    @property
    def reads_at_once(self) -> int:
        return self.n_reads_per_transfer

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> "TTv1Weight":
        return TTv1Weight(shape, self, factory)


class TTv1Weight(PulsedTransferWeight):
    """The tiles of one weight. The first transfer runs in windows; the later, rarer ones cut a mini-batch in
    time.
    """

    rule: TTv1

    def __init__(self, shape: tuple[int, ...], rule: TTv1, factory: TileFactory) -> None:
        super().__init__(shape, rule, factory)
        if rule.n_tiles > 2:
            del self.slow  # the last tile again, after those in between
        for k in range(1, rule.n_tiles - 1):
            setattr(self, f"middle_{k}", factory.tile("slow", self.inner, f"middle_{k}"))
        if rule.n_tiles > 2:
            self.slow = factory.tile("slow", self.inner)
        self.later = self._clocks()
        self.agenda: Agenda = {}

    def _clocks(self) -> list[TransferClock]:
        many = self.rule.reads_at_once
        return [
            TransferClock(slices=self.inner[-1], reads_at_once=many) for _ in range(self.rule.n_tiles - 2)
        ]

    @property
    def chain(self) -> list[AnalogTile]:
        """All tiles, fast one first."""
        return list(self.tiles().values())

    @property
    def weight(self) -> Tensor:
        parts = zip(self.rule.gammas, self.chain, strict=True)
        inner: Tensor = sum(gamma * tile.weight for gamma, tile in parts if gamma)  # type: ignore[assignment]
        return inner if self.rule.transfer_columns else inner.transpose(-1, -2)

    def set_weight(self, weight: Tensor) -> None:
        super().set_weight(weight / self.rule.gammas[-1])
        for tile in self.chain[1:-1]:
            tile.set_weight(weight.new_zeros(self.inner))
        self.later = self._clocks()

    def counters(self) -> dict[str, Any]:
        later = [{"samples": c.samples, "column": c.column, "passes": c.passes} for c in self.later]
        return super().counters() | {"later": later}

    def load_counters(self, counters: dict[str, Any]) -> None:
        super().load_counters(counters)
        many = self.rule.reads_at_once
        self.later = [
            TransferClock(slices=self.inner[-1], reads_at_once=many, **c) for c in counters["later"]
        ]

    def every(self, batch: int) -> int:
        for j, clock in enumerate(self.later, start=1):
            clock.every = samples_between(self._every(j), batch, self)
        return samples_between(self._every(0), batch, self)

    def _every(self, j: int) -> float:
        if self.rule.transfer_every_vec:
            return self.rule.transfer_every_vec[j]
        return self.rule.transfer_every * (self.inner[-2] / self.rule.reads_at_once) ** j

    def before_windows(self, batch: int, lr: float) -> None:
        self.agenda = self._plan(batch)
        self._hand_on(0, lr)

    def after_window(self, index: int, lr: float) -> None:
        self._hand_on(index + 1, lr)

    def after_segment(self, samples: int, lr: float, *, cut: bool) -> None:
        for clock in self.later:
            clock.advance(samples)

    def _plan(self, batch: int) -> Agenda:
        """What the later transfers of ``batch`` samples read, and between which reads of A.

        Columns do not interact: only the order of what happens to the same column counts. Where a column comes several
        times at one place, it takes several turns.
        """
        agenda: Agenda = {}
        if not self.later:
            return agenda
        _, until, reads, _ = self.clock.table(batch)
        events = sorted(
            (sample, j, column)
            for j, clock in enumerate(self.later, start=1)
            for sample, column in clock.reads(batch)
        )
        turns: dict[tuple[int, int], int] = {}
        for sample, j, column in events:
            place = int(np.count_nonzero(reads[:, column] & (until[:, column] <= sample)))
            turn = turns.get((place, column), 0)
            turns[place, column] = turn + 1
            agenda.setdefault(place, {}).setdefault((turn, j), []).append(column)
        return agenda

    def _hand_on(self, place: int, lr: float) -> None:
        for (_, j), columns in sorted(self.agenda.get(place, {}).items()):
            self.hand_on(j, columns, lr)

    def hand_on(self, j: int, columns: list[int], lr: float) -> None:
        """Transfer different ``columns`` of tile ``j`` to the next one."""
        chosen = torch.tensor(columns, device=self.chop_in.device)
        value = self.chain[j].read_columns(chosen, self.slice_io(self.chain[j]))
        self.tally.slice_reads += len(columns) * self.instances
        self._write(j, value, chosen, lr)

    def transfer(
        self, value: Tensor, window: Window, columns: Tensor | slice, rate: Tensor, lr: float
    ) -> None:
        self._write(0, value, columns, lr)

    def _write(self, j: int, value: Tensor, columns: Tensor | slice, lr: float) -> None:
        self.write(self.chain[j + 1], value, columns, self._strength(j, lr))

    def _strength(self, j: int, lr: float) -> float:
        """Rate of the transfer out of tile ``j``."""
        rule = self.rule
        wanted = rule.transfer_lr_vec[j] if rule.transfer_lr_vec else rule.transfer_lr
        return wanted * (lr if rule.scale_transfer_lr else 1.0) * self.caution

    @property
    def written_tile(self) -> AnalogTile:
        return self.chain[1]

    def breaks(self, many: int) -> list[int]:
        return [place for place in sorted(self.agenda) if 0 < place < many]

    def what_reads_do(self, lr: float) -> PulsedWrite | None:
        return self.pulsed_write(self._strength(0, lr))

    def operations_per_value(self, lr: float) -> int:
        return int(self._strength(0, lr) > 0)  # values become pulse chances
