"""What the whole Tiki-Taka family shares: a fast tile that takes the gradient, read column by column into a slow one."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from math import ceil
from typing import Annotated, Literal

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.moment import Moment
from crossweep.engine.io_parameters import PERFECT, IOParameters
from crossweep.engine.program import (
    Buffered,
    Chopper,
    Normalised,
    Own,
    Program,
    Pulses,
    Rounded,
    Smoothed,
    Trains,
    Transfer,
)
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.errors import FieldError
from crossweep.schema import NotNegative, Positive, ProperShare, Range, Share
from crossweep.tiles.factory import TileFactory

FINE = 2500  # states beyond which one pulse is too small a transfer


@dataclass(frozen=True, kw_only=True)
class TikiTaka(AbstractAlgorithm):
    """Parameters common to the family. Symbols: fast tile A, slow tile C, I columns of length O.

    A rule is what ``program`` makes of these parameters; the engines do nothing else.

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

    fast_lr: NotNegative
    fast_change: NotNegative
    scale_fast_lr: bool
    auto_scale: bool
    auto_momentum: Share
    update: UpdateParameters
    transfer_every: float
    units_in_mbatch: bool
    transfer_lr: NotNegative
    scale_transfer_lr: bool
    gamma: NotNegative
    transfer_columns: bool
    transfer_io: Literal["forward", "perfect"] | IOParameters
    transfer_update: UpdateParameters

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fast_change and not self.auto_scale:
            raise FieldError("fast_change", f"must be 0 with auto_scale=false, got {self.fast_change}")
        if self.transfer_every == 0:
            raise FieldError("transfer_every", "must not be 0, got 0")

    def build(self, shape: tuple[int, ...], factory: TileFactory) -> ChainWeight:
        return ChainWeight(shape, self, factory)

    # -- the program -------------------------------------------------------------------------------

    def program(self, now: Moment) -> Program:
        """What happens in a mini-batch."""
        rate, average = self._rate(now)
        return Program(
            update=self.update, rate=rate, average=average, transfers=self.transfers(now), chopper=self.chopper(now),
            gradient=now.gradient, rows=not self.transfer_columns,
        )  # fmt: skip

    def transfers(self, now: Moment) -> tuple[Transfer, ...]:
        """What happens to the reads of each tile but the last."""
        return tuple(
            Transfer(
                every=self.samples_between(self.every(j, now), now), at_once=self.at_once, io=self.slice_io(j, now),
                what=self.what(j, now),
            )
            for j in range(self.length - 1)
        )  # fmt: skip

    @abstractmethod
    def what(self, j: int, now: Moment) -> Buffered | Smoothed | Own:
        """What happens to a read of tile ``j``."""

    @property
    def at_once(self) -> int:
        """Columns read at every transfer."""
        return 1

    def every(self, j: int, now: Moment) -> float:
        """``transfer_every`` of tile ``j``."""
        return self.transfer_every

    def rate_out_of(self, j: int) -> float:
        """``transfer_lr`` of tile ``j``."""
        return self.transfer_lr

    def transfer_rate(self, j: int, now: Moment) -> float:
        """Effective rate of the transfer out of tile ``j``."""
        return self.rate_out_of(j) * (now.lr if self.scale_transfer_lr else 1.0)

    def chopper(self, now: Moment) -> Chopper:
        """Signs of the gradient on A."""
        return Chopper()

    @property
    def length(self) -> int:
        """Number of tiles."""
        return 2

    def shares(self, *, fading: bool) -> tuple[float, ...]:
        """Share of each tile in the visible weight; ``fading``: A's steps fade towards a symmetry point."""
        return self.gamma, 1.0

    @property
    def shows_excess(self) -> bool:
        """Whether the visible weight contains A less what its reads are relative to, which then begins at zero with it."""
        return False

    @property
    def first_gradient(self) -> int:
        """The tile that takes the gradient at first."""
        return 0

    def next_gradient(self, gradient: int, losses: list[float]) -> int:
        """The tile that takes it from now on, by the mean training losses of the epochs since the last change."""
        return gradient

    # -- its parts ---------------------------------------------------------------------------------

    def _rate(self, now: Moment) -> tuple[float, float | None]:
        """Learning rate of the gradient's tile, and what its averages move by."""
        if self.fast_lr <= 0 and not self.fast_change:
            return now.lr, None
        share = now.lr if self.scale_fast_lr else 1.0
        if not self.auto_scale:
            return self.fast_lr * share, None
        pulses = self.fast_lr * self.update.desired_bl
        change = self.fast_change or pulses * now.devices[now.gradient].granularity
        return share * change, 1 - self.auto_momentum

    def samples_between(self, wanted: float, now: Moment) -> int:
        """``transfer_every`` as a number of samples, >= 1."""
        if wanted < 0:
            return max(1, round(now.devices[0].states / now.slices * -wanted))
        if self.units_in_mbatch:
            return max(1, ceil(wanted * now.batch))
        return max(1, round(wanted))

    def slice_io(self, tile: int, now: Moment) -> IOParameters:
        """The periphery of the transfer's reads of a tile; rows are read as in the backward pass."""
        if isinstance(self.transfer_io, IOParameters):
            return self.transfer_io
        if self.transfer_io == "perfect":
            return PERFECT
        whole = now.forward_io if self.transfer_columns else now.backward_io
        return whole.of_one_line(now.devices[tile].largest)


@dataclass(frozen=True, kw_only=True)
class BufferedTransfer(TikiTaka):
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
        normalise: ``device``: reads, less their reference where the rule has one, are divided by the root of a running
            mean of their squares, which every device has of its own (``program.Normalised``): the geometry of Adam. If all
            reads of a device had one sign, its logical weight would move by the transfer's rate, ``transfer_lr`` times
            the learning rate, per mini-batch [logical w], whatever the size of gradients, of A or of the tile; so no
            granularity has a part in it, and ``buffer_granularity``, ``auto_granularity`` and
            ``correct_gradient_magnitudes`` must be 1, 0 and false. ``factored``: by roots of one mean per row and one per
            column, which needs O + I numbers instead of O I. ``none``: they are not.
        beta2: with ``normalise``, what a mini-batch leaves of that mean [1] in 0..1, below 1.
        eps: with ``normalise``, least root in steps of A, > 0: reads far below it are not enlarged.
        buffer_bits: bits of every digital number beside the tiles from one mini-batch to the next, 6 to 24; they are
            rounded stochastically when it ends (``program.Rounded``), and within it they are exact. 0: single precision.

    Raises:
        ConfigError: a parameter breaks its rule.

    Differs: ``step`` may be larger than one; ``auto_granularity`` also acts together with
    ``correct_gradient_magnitudes``, and there is no ``thres_scale`` for chopped rules, as in the engine of aihwkit (its
    documentation says otherwise).
    """

    buffer_granularity: Positive
    auto_granularity: NotNegative
    correct_gradient_magnitudes: bool
    step: Positive | None
    momentum: Share
    forget_buffer: bool
    normalise: Literal["none", "device", "factored"]
    beta2: ProperShare
    eps: Positive
    buffer_bits: Annotated[int, Range(least=0, most=24)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.buffer_bits < 6:
            raise FieldError("buffer_bits", f"must be 0 or 6 to 24, got {self.buffer_bits}")
        if self.normalise == "none":
            return
        without: dict[str, float | bool] = {
            "buffer_granularity": 1.0, "auto_granularity": 0.0, "correct_gradient_magnitudes": False,
        }  # fmt: skip
        for name, neutral in without.items():
            if getattr(self, name) != neutral:
                message = f"must be {neutral} with normalise={self.normalise}, got {getattr(self, name)}"
                raise FieldError(name, message)

    def what(self, j: int, now: Moment) -> Buffered:
        fast, slow = now.devices
        step = max(1.0, slow.states / FINE) if self.step is None else self.step
        made = Buffered(
            scale=self.buffer_scale(j, now), by_rate=self.correct_gradient_magnitudes, momentum=self.momentum,
            forget=self.forget_buffer, write=Pulses(step=step, update=self.transfer_update),
            rounded=Rounded(bits=self.buffer_bits, reach=fast.largest) if self.buffer_bits else None,
        )  # fmt: skip
        if self.normalise == "none":
            return made
        samples = self.samples_between(self.every(j, now), now)
        reads = now.batch * self.at_once / (samples * now.slices)  # of a column, in the mean
        return replace(
            made, scale=self.transfer_rate(j, now) / (reads * step * slow.granularity),
            normalise=Normalised(
                decay=self.beta2 ** (1 / reads), floor=self.eps * fast.granularity,
                factored=self.normalise == "factored",
            ),
        )  # fmt: skip

    def transfer_rate(self, j: int, now: Moment) -> float:
        return super().transfer_rate(j, now) * (now.shares[0] or 1.0)

    def buffer_scale(self, j: int, now: Moment) -> float:
        """lambda: what one unit of A's content adds to H [1/w]; a product with A's rate where that divides it."""
        fast, slow = (device.granularity for device in now.devices)
        granularity = self.buffer_granularity * fast
        if self.auto_granularity > 0:
            granularity *= self.auto_granularity / (now.slices * abs(self.transfer_every))
        scale = self.transfer_rate(j, now) / granularity
        return scale * fast / slow if self.correct_gradient_magnitudes else scale


@dataclass(frozen=True, kw_only=True)
class PulsedTransfer(TikiTaka):
    """Parameters of a transfer by pulse trains of a strength in proportion to what is written: TTv1, RLv2, MRL.

    Args:
        few_states: below so many states of C the rate of the transfer is multiplied by ``(states /
            few_states)^1.5``, >= 0; 0: never. What a read ``v`` writes has a variance of ``transfer_lr |v| dw_min``,
            and ``|v|`` of A at rest goes with ``sqrt(dw_min)``: the noise that C collects stays that of ``few_states``.

    Raises:
        ConfigError: a parameter breaks its rule.
    """

    few_states: NotNegative

    def what(self, j: int, now: Moment) -> Smoothed:
        return Smoothed(write=Trains(strength=self.transfer_rate(j, now), update=self.transfer_update))

    def transfer_rate(self, j: int, now: Moment) -> float:
        few = self.few_states
        caution = min(1.0, now.devices[1].states / few) ** 1.5 if few else 1.0
        return super().transfer_rate(j, now) * caution
