"""Multi-tile residual learning: each further tile corrects what the coarser ones cannot represent."""

from dataclasses import dataclass, field, fields

from crossweep.algorithms.transfer import Transfer
from crossweep.algorithms.ttv1 import TTv1, TTv1Weight
from crossweep.errors import ConfigError
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.pulse_train import UpdateParameters


@dataclass(frozen=True, kw_only=True)
class MRL(Transfer):
    """Visible weight ``sum_k gamma^(n-1-k) W_k``; the gradient goes onto the finest tile ``W_0``, and each
    tile is read column by column into the next coarser one, ``transfer_growth`` times as seldom from tile to
    tile.

    It is TTv1 with geometric series of shares, periods and rates. ``gamma`` should be a little above
    one over the number of states.

    Args:
        n_tiles: number of tiles n, >= 2.
        gamma: ratio of neighbouring shares [1], in (0, 1).
        transfer_growth: ratio of neighbouring transfer periods [1], >= 1.
        lr_growth: ratio of neighbouring transfer rates [1], > 0.
        transfer_update: pulse trains of all transfers.

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: Li et al., arXiv 2510.02516 (2025).
    Differs: no warm start (their optional schedule that moves the gradient from tile to tile between epochs).
    """

    n_tiles: int = 3
    gamma: float = 0.5
    transfer_growth: float = 5.0
    lr_growth: float = 1.2
    transfer_update: UpdateParameters = field(default_factory=UpdateParameters)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.n_tiles >= 2:
            raise ConfigError(f"algorithm.n_tiles: must be >= 2, got {self.n_tiles}")
        if not 0 < self.gamma < 1:
            raise ConfigError(f"algorithm.gamma: must lie in (0, 1) with several tiles, got {self.gamma}")
        if not self.transfer_growth >= 1:
            raise ConfigError(f"algorithm.transfer_growth: must be >= 1, got {self.transfer_growth}")
        if not self.lr_growth > 0:
            raise ConfigError(f"algorithm.lr_growth: must be > 0, got {self.lr_growth}")

    def chain(self) -> TTv1:
        """The same as TTv1 with its vectors written out."""
        shared = {f.name: getattr(self, f.name) for f in fields(Transfer)}
        transfers = range(self.n_tiles - 1)
        return TTv1(
            **shared,
            n_tiles=self.n_tiles,
            transfer_every_vec=tuple(self.transfer_every * self.transfer_growth**j for j in transfers),
            transfer_lr_vec=tuple(self.transfer_lr * self.lr_growth**j for j in transfers),
        )

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> TTv1Weight:
        return self.chain().build(shape, factory)
