"""A training rule as data: which tile takes the gradient, and what happens to the columns read of each tile.

Tiles form a chain ``W_0 .. W_(n-1)``: pulses of the gradient go onto one of them, usually the first, A; transfer ``j``
reads columns of ``W_j`` and writes what it makes of them to ``W_(j+1)``; the last tile, C, holds the weight. Everything
that an engine does in a mini-batch follows from a ``Program``: there is nothing else that could be overridden.

Symbols: v what is read of a column, s its choppers' sign, H the digital numbers beside a tile, I the number of slices
(columns of the chain's tiles), O their length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor

from crossweep.engine.io_parameters import IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.errors import FieldError
from crossweep.rng import Stream


@dataclass(frozen=True, kw_only=True)
class Chopper:
    """When the sign of a column flips: right after its own read.

    Args:
        probability: chance of a flip per read [1] in 0..1; 0 never flips.
        random: flip at random; else regularly, once in ``max(ceil(1/probability), 2)`` passes, all columns
            in the same pass (the last one of each period).
        rows: flip chance of a row's sign per full pass [1] in 0..1.

    Raises:
        ConfigError: a probability lies outside 0..1.

    Source: Rasch et al., Nat. Commun. 15:7133 (2024); aihwkit ``ChoppedTransferCompound``, CPU engine (its
        CUDA engine flips in the first pass of a period).
    """

    probability: float = 0.0
    random: bool = True
    rows: float = 0.0

    def __post_init__(self) -> None:
        for name in ("probability", "rows"):
            if not 0 <= getattr(self, name) <= 1:
                raise FieldError(name, f"must lie in 0..1, got {getattr(self, name)}")

    @property
    def flips_columns(self) -> bool:
        """Whether signs of columns ever flip."""
        return self.probability > 0

    @property
    def period(self) -> int:
        """Passes per period of a regular chopper; 0 if it never flips."""
        return max(ceil(1 / self.probability), 2) if self.probability else 0

    def flips(self, passes: Tensor, shape: tuple[int, ...], stream: Stream) -> Tensor:
        """Which of the reads end in a flip: bool ``shape``, whose last dimensions are those of ``passes``; on the host, so
        that every engine sees the same flips."""
        if not self.probability:
            return torch.zeros(shape, dtype=torch.bool)
        if self.random:
            return stream.uniform(*shape, like=torch.empty(0)) < self.probability
        return ((passes % self.period) + 1 == self.period).expand(shape)


@dataclass(frozen=True, kw_only=True)
class Pulses:
    """Write a whole number n per device: ``round(step |n|)`` pulses in the direction of n.

    Args:
        step: pulses for each unit of n [1], > 0.
        update: pulse parameters; ``desired_bl`` is the largest number of pulses.
    """

    step: float
    update: UpdateParameters

    def is_exact(self, *, rows: bool) -> bool:
        """Whether all wanted pulses happen, at most ``desired_bl``, without chance.

        ``rows``: a row is written, so that the vector drives the columns and the one-hot side the rows.
        """
        update = self.update
        if update.res:
            return False
        managed = update.update_management or update.update_bl_management
        if not managed and update.desired_bl == 1 and self.step == 1:
            return True
        # with management the one-hot side pulses in every slot of a full train and the vector clips; the other way
        # round, all its values shrink
        implicit = update.pulse_type == "deterministic_implicit" and update.update_management
        return implicit and (self.step <= 1 or not rows)


@dataclass(frozen=True, kw_only=True)
class Trains:
    """Write ``strength u`` of each device by one pair of pulse trains per column.

    Args:
        strength: rate of the transfer [1], >= 0; at 0 nothing is written.
        update: pulse parameters.
    """

    strength: float
    update: UpdateParameters


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """Reads are divided by the root of a running mean of their squares: the geometry of Adam.

    ``V <- (1 - w) V + w u^2``, then ``u / (sqrt(V) + floor)``, dimensionless. The n-th read of a column since the weight
    was written has ``w = (1 - b) / (1 - b^n)``, so that V is a mean from the first one on: this is Adam's correction of
    its bias.

    ``factored``: V of row i and column j is ``R_i C_j``, O + I numbers instead of O I. C_j is the running mean of the mean
    square of a read of the column, R_i of the row's share in it; both move at the end of a mini-batch, by all of its reads.
    Before its first one has ended a column adds nothing.

    Args:
        decay: b, what a read leaves of the mean before it [1] in 0 <= b < 1; 0 keeps the sign of a read only.
        floor: of the root [w], > 0.
        factored: a mean for each row and each column; else for each device.

    Source: Kingma and Ba, arXiv 1412.6980 (2014), algorithm 1, for its second moment; factored: Shazeer and Stern, arXiv
        1804.04235 (2018), section 3.
    """

    decay: float
    floor: float
    factored: bool = False

    @property
    def memory(self) -> tuple[str, ...]:
        """Digital numbers per weight, by name."""
        return () if self.factored else ("second",)

    @property
    def operations(self) -> int:
        """Digital operations for each number: square, two products and a sum, root; factored: square, two sums, product of
        roots; then sum and quotient."""
        return 6 if self.factored else 7


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """Digital numbers have few bits between mini-batches: at the end of each they are rounded, stochastically.

    H keeps multiples of ``2^(1 - bits)`` below its threshold of 1, means of reads multiples of ``reach 2^(1 - bits)`` up to
    ``reach``, mean squares of normalised reads six bits of exponent and the rest of fraction. Factors of a mean square, a
    number for each line, are not rounded.

    Args:
        bits: of each number [1], >= 6.
        reach: largest read [w].
    """

    bits: int
    reach: float


@dataclass(frozen=True, kw_only=True)
class Buffered:
    """Reads are summed in a digital buffer; where it passes its threshold of 1, pulses are written.

    ``H <- H + s u scale`` with ``u = v - p``, or with what this is normalised to; ``n = clip(trunc(H), -desired_bl,
    desired_bl)``; where n is not 0 the buffer keeps ``momentum H`` or, if the remainder stays, ``H - (1 - momentum) n``.

    Args:
        scale: what a unit of a read adds to H [1/w], > 0.
        write: pulses for each n.
        by_rate: divide ``scale`` by the learning rate of the gradient's tile at the sample of the read.
        most_reads: divide it by the number of reads since the last regular flip, at most this; None: do not.
        momentum: share that stays [1] in 0..1.
        forget: drop the remainder.
        no_buffer: forget H before every read.
        cap: largest ``|H|`` that stays after a transfer; 0 is off.
        past: weight of a read in the running mean ``mu <- (1 - past) mu + past v``; the mean at the column's last flip
            is p, which is subtracted from reads. None: nothing is.
        follows: p is the mean before the read instead.
        silent_passes: full passes in which nothing is written; the buffer works all the same.
        normalise: how u is made dimensionless; ``scale`` is then a change of the weight that the tiles stand for, in
            units of n on the next tile, and is divided by what a unit of the tile is there. None: it is not. Reads of
            silent passes leave nothing in its mean.
        rounded: what is kept of the digital numbers between mini-batches; None: single precision.

    Source: Gokmen, Front. Artif. Intell. 4:699148 (2021); Rasch et al., Nat. Commun. 15:7133 (2024), eqs. 10-15; aihwkit
        ``BufferedTransferCompound`` and its chopped forms. The papers describe ``forget = False``.
    """

    scale: float
    write: Pulses
    by_rate: bool = False
    most_reads: float | None = None
    momentum: float = 0.0
    forget: bool = True
    no_buffer: bool = False
    cap: float = 0.0
    past: float | None = None
    follows: bool = False
    silent_passes: int = 0
    normalise: Normalised | None = None
    rounded: Rounded | None = None

    @property
    def memory(self) -> tuple[str, ...]:
        """Digital numbers per weight, by name."""
        relative = () if self.past is None else ("mean",) if self.follows else ("mean", "past")
        return ("held", *relative, *(() if self.normalise is None else self.normalise.memory))

    @property
    def operations(self) -> int:
        """Digital operations for each number that is read: scale and add; subtract, two products and a sum; normalise."""
        own = 2 if self.past is None else 6
        return own if self.normalise is None else own + self.normalise.operations

    @property
    def size(self) -> float:
        """What is in proportion to the rate of the transfer."""
        return self.scale

    def of_size(self, size: Any) -> "Buffered":
        """The same with another size."""
        return replace(self, scale=size)


@dataclass(frozen=True, kw_only=True)
class Smoothed:
    """Reads, or a running average of them, are written by pulse trains of a strength in proportion.

    ``H <- (1 - b) H + b v``; written is ``s u`` with u = H where ``|H|`` exceeds a least value; without an average u = v.

    Args:
        write: strength and pulse trains.
        rate: b, weight of a read in the average [1] in (0, 1]; None: no average.
        least: smallest ``|H|`` that is written [w]; below 0: all.
    """

    write: Trains
    rate: float | None = None
    least: float = -1.0

    @property
    def memory(self) -> tuple[str, ...]:
        """Digital numbers per weight, by name."""
        return () if self.rate is None else ("held",)

    @property
    def operations(self) -> int:
        """Digital operations for each number that is read: two products and a sum; what is written becomes chances of
        pulses."""
        average = 0 if self.rate is None else 3
        return average + (isinstance(self.write.strength, Tensor) or self.write.strength > 0)

    @property
    def size(self) -> float:
        """What is in proportion to the rate of the transfer."""
        return self.write.strength

    def of_size(self, size: Any) -> "Smoothed":
        """The same with another size."""
        return replace(self, write=replace(self.write, strength=size))


@dataclass(frozen=True, kw_only=True)
class Own:
    """A rule of one's own, in torch; the reference runs it.

    Args:
        digest: ``(read, held) -> (write, held)``, all [..., O, r]: from what was read, with its choppers' sign, and the
            digital numbers of these columns to what is written and the numbers that stay. ``write`` is n of ``Pulses`` or
            u of ``Trains``.
        write: how.
        operations: digital operations for each number that is read, for the cost.
    """

    digest: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    write: Pulses | Trains
    operations: int = 0
    memory: tuple[str, ...] = ("held",)

    @property
    def size(self) -> float:
        """It has none that is known."""
        return 0.0

    def of_size(self, size: Any) -> "Own":
        """Itself."""
        return self


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """From one tile of the chain to the next.

    Args:
        every: samples between two transfers, >= 1.
        io: periphery of the reads.
        what: what happens to a read.
        at_once: columns read at every transfer, one after the other, >= 1.
    """

    every: int
    io: IOParameters
    what: Buffered | Smoothed | Own
    at_once: int = 1


@dataclass(frozen=True, kw_only=True)
class Program:
    """What happens in one mini-batch.

    Args:
        update: pulse trains of the gradient.
        rate: learning rate of the gradient's tile; where ``average`` is given, over the product of two running averages,
            of the largest input and the largest error of every sample.
        transfers: one for each tile but the last.
        average: weight of a mini-batch in these averages [1] in (0, 1]; None: there are none.
        chopper: signs of the gradient on the first tile.
        gradient: the tile that takes the gradient; tiles before it rest.
        rows: rows are read and written instead of columns; then the chain keeps all its tensors transposed.
    """

    update: UpdateParameters
    rate: float
    transfers: tuple[Transfer, ...]
    average: float | None = None
    chopper: Chopper = Chopper()
    gradient: int = 0
    rows: bool = False

    @property
    def numbers(self) -> tuple[float, ...]:
        """What a learning rate changes: rate, and size of every transfer."""
        return (self.rate, *(transfer.what.size for transfer in self.transfers))

    def with_numbers(self, numbers: Sequence[Any]) -> "Program":
        """The program with others, floats or tensors without dimensions; what is 0 stays so."""
        rate, *sizes = (new if old else old for new, old in zip(numbers, self.numbers, strict=True))
        transfers = zip(self.transfers, sizes, strict=True)
        return replace(
            self,
            rate=rate,
            transfers=tuple(replace(one, what=one.what.of_size(size)) for one, size in transfers),
        )

    @property
    def fixed(self) -> "Program":
        """All but these numbers."""
        return self.with_numbers([1.0] * len(self.numbers))
