"""Tiki-Taka version 1, with any number of tiles; with ``gamma > 0`` it is residual learning."""

from dataclasses import dataclass
from typing import Annotated

from crossweep.algorithms.moment import Moment
from crossweep.algorithms.tiki_taka import PulsedTransfer
from crossweep.errors import FieldError
from crossweep.schema import Count, NotNegative, Positive, Range


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

    n_tiles: Annotated[int, Range(least=2, most=20)]
    gamma_vec: tuple[NotNegative, ...]
    transfer_every_vec: tuple[Positive, ...]
    transfer_lr_vec: tuple[NotNegative, ...]
    n_reads_per_transfer: Count

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
    def length(self) -> int:
        return self.n_tiles

    def shares(self, *, fading: bool) -> tuple[float, ...]:
        return self.gammas

    @property
    def at_once(self) -> int:
        return self.n_reads_per_transfer

    def every(self, j: int, now: Moment) -> float:
        if self.transfer_every_vec:
            return self.transfer_every_vec[j]
        return self.transfer_every * (now.length / self.n_reads_per_transfer) ** j

    def rate_out_of(self, j: int) -> float:
        return self.transfer_lr_vec[j] if self.transfer_lr_vec else self.transfer_lr
