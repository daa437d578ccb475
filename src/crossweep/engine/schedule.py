"""Which column is read after which sample, without a loop over samples.

Columns of a tile do not interact, and column ``j`` is only looked at when it is read. So a mini-batch is cut into
*windows*: in window ``m`` each column sees the samples between its own ``m``-th and ``(m+1)``-th read. After a window every
column that has a read left stands exactly where a sample-by-sample simulation would read it.
"""

from dataclasses import dataclass, fields
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep import feed
from crossweep.common import differ, lift, of_each, over
from crossweep.engine.program import Buffered, Chopper, Own, Smoothed

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass
class TransferClock:
    """Counters of one transfer: samples seen, next column, full passes.

    Args:
        slices: number of columns I.
        every: samples between two transfers, >= 1.
        at_once: columns read at every transfer, one after the other, >= 1.
        samples: samples seen so far.
        column: next column to read.
        passes: completed full passes.
    """

    slices: int
    every: int = 1
    at_once: int = 1
    samples: int = 0
    column: int = 0
    passes: int = 0

    def reads_within(self, batch: int) -> int:
        """How many reads the next ``batch`` samples bring."""
        events = (self.samples + batch) // self.every - self.samples // self.every
        return events * self.at_once

    @property
    def reads(self) -> Numbers:
        """Reads of each column so far [I]."""
        return self.passes + (np.arange(self.slices) < self.column)

    def advance(self, batch: int) -> None:
        """Move on by ``batch`` samples."""
        position = self.column + self.reads_within(batch)
        self.passes += position // self.slices
        self.column = position % self.slices
        self.samples += batch

    def pass_ends(self, batch: int) -> list[int]:
        """Sample counts, within the next ``batch`` samples, after which a full pass is complete."""
        first = self.every - self.samples % self.every  # samples until the next transfer
        last = range(self.slices - self.column - 1, self.reads_within(batch), self.slices)
        return [first + read // self.at_once * self.every for read in last]

    def many_windows(self, batch: int) -> int:
        """Windows of the next ``batch`` samples."""
        return -(-self.reads_within(batch) // self.slices) + 1

    def most_windows(self, batch: int) -> int:
        """Windows of any ``batch`` samples, at most."""
        return -(-(-(-batch // self.every) * self.at_once) // self.slices) + 1

    def longest_window(self, batch: int) -> int:
        """Samples that a column sees in a window of ``batch`` samples, at most."""
        return min(batch, (-(-self.slices // self.at_once) + 1) * self.every)

    def windows(self, batch: int, *, padded: bool = False) -> "Windows":
        """The windows of the next ``batch`` samples; ``padded``: as many as there may be, the last ones empty."""
        many = self.most_windows(batch) if padded else self.many_windows(batch)
        reads, first = self.reads_within(batch), self.every - self.samples % self.every
        place = self.slices, self.every, self.at_once, self.column, reads, first, batch, many
        since, until, read, passes = _windows(*place)
        return Windows(since=since, until=until, reads=read, passes=self.passes + passes)

    def as_dict(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return {"samples": self.samples, "column": self.column, "passes": self.passes}


@lru_cache(maxsize=64)  # a clock comes by the same place again and again
def _windows(
    slices: int, every: int, at_once: int, column: int, reads: int, first: int, batch: int, many: int
) -> tuple[Numbers, Numbers, Flags, Numbers]:
    """``Windows`` of a clock that has no passes behind it; ``first``: samples until the next transfer."""
    offset = (np.arange(slices) - column) % slices  # reads before this column's first one
    index = offset + slices * np.arange(many)[:, None]
    read = index < reads
    until = np.where(read, first + index // at_once * every, batch)
    since = np.concatenate((np.zeros_like(until[:1]), until[:-1]))
    return since, until, read, (column + index) // slices


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of one mini-batch, or of a part of one; all arrays are [windows, I].

    Args:
        since: first sample that the column sees.
        until: one past the last one; a read comes after the sample before.
        reads: whether the column is read at the end of the window.
        passes: full passes completed before that read.
    """

    since: Numbers
    until: Numbers
    reads: Flags
    passes: Numbers

    def apart(self) -> "Windows":
        """The same, in arrays that nobody else looks at."""
        return Windows(**{one.name: getattr(self, one.name).copy() for one in fields(Windows)})

    def become(self, other: "Windows") -> None:
        """Take the numbers of another mini-batch, in place."""
        for name in ("since", "until", "reads", "passes"):
            getattr(self, name)[...] = getattr(other, name)


@dataclass(frozen=True, kw_only=True)
class Schedule(Windows):
    """Windows, and what a read at the end of each is worth; tensors are [..., windows, I] or, where instances do not
    differ in them, [windows, I].

    Args:
        sign: chopper of the column in this window, +1 or -1.
        scale: what one unit of the read adds to the buffer, without the choppers, or its weight in the average, > 0.
        fresh: whether the column's running mean becomes what is subtracted from reads, at this read.
        gate: whether the read may write.
        share: weight of the read's square in the mean that reads are normalised by [1] in (0, 1].
    """

    sign: Tensor
    scale: Tensor
    fresh: Tensor
    gate: Tensor
    share: Tensor

    def part(self, begin: int, end: int) -> "Schedule":
        """Windows ``begin`` to ``end``."""
        if (begin, end) == (0, len(self.reads)):
            return self
        return Schedule(**{f.name: getattr(self, f.name)[..., begin:end, :] for f in fields(self)})


def schedule(
    windows: Windows,
    what: Buffered | Smoothed | Own,
    rate: Tensor,
    chopper: Chopper,
    sign: Tensor,
    fresh: Tensor,
) -> Schedule:
    """What each read is worth.

    Args:
        windows: when columns are read.
        what: what happens to a read.
        rate: learning rate of the gradient's tile for each sample of these windows [..., b].
        chopper: when they flip.
        sign: chopper of each column in each window [..., windows, I], in full where instances differ in ``what``.
        fresh: whether a flip came before this read and after the one before, likewise.
    """
    passes = feed.given(lambda: windows.passes, rate)
    like = torch.ones(windows.reads.shape, device=rate.device)
    gate = torch.ones_like(like, dtype=torch.bool)
    scale = share = like
    if isinstance(what, Buffered):
        size = _number(what, "scale", sign)
        scale = like * size
        if what.by_rate:
            sample = feed.given(lambda: np.maximum(windows.until - 1, 0), rate)
            scale = size * rate[..., sample].reciprocal()
        most = _number(what, "most_reads", sign)
        if most is not None:
            scale = scale / (passes % _number(chopper, "period", sign) + 1).clamp(max=most)
        gate = passes >= _number(what, "silent_passes", sign)
        fresh = torch.ones_like(fresh) if what.follows else fresh
        if lift(_normalises, what, name="normalise"):
            share = feed.given(partial(_shares, what, windows), rate)
    elif isinstance(what, Smoothed) and lift(_averages, what, name="buffer"):
        scale = like * _number(what, "rate", sign)
    given: dict[str, Any] = {f.name: getattr(windows, f.name) for f in fields(windows)}
    tensors: dict[str, Any] = {"sign": sign, "scale": scale, "fresh": fresh, "gate": gate, "share": share}
    if differ(what):
        tensors = {name: tensor.expand_as(sign).contiguous() for name, tensor in tensors.items()}
    return Schedule(**given, **tensors)


def _number(item: object, name: str, like: Tensor) -> Any:
    """A number of a description, or that of each instance, to combine with tensors like ``like [..., windows, I]``."""
    return over(lift(attrgetter(name), item, name=name), like)


def _normalises(what: Buffered) -> bool:
    return what.normalise is not None


def _averages(what: Smoothed) -> bool:
    return what.rate is not None


def _shares(what: Buffered, windows: Windows) -> Tensor:
    """Weights of squares [windows, I], of each instance where they differ in what happens to reads."""

    def of_one(one: Buffered) -> Tensor:
        assert one.normalise is not None
        return shares(one.normalise.decay, windows.passes - one.silent_passes, 1)

    each = of_each(max(differ(what), 1), of_one, what)
    return torch.stack(each) if differ(what) else each[0]


def shares(decay: float, before: Numbers | float, reads: Numbers | float) -> Tensor:
    """``(1 - b^k) / (1 - b^n)``: weight of ``k`` reads in a mean of n, with those before; one where there are none."""
    n = np.maximum(before, 0) + reads
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(decay)
        share = np.where(np.greater(reads, 0), np.expm1(reads * log) / np.expm1(n * log), 0.0)
    return torch.from_numpy(np.asarray(share, np.float32))
