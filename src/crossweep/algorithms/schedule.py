"""Which column is read after which sample: the transfer schedule of the Tiki-Taka family, without a loop
over samples.

The fast tile's columns do not interact, and column ``j`` is only looked at when it is read. So a mini-batch
is cut into *windows*: in window ``m`` each column sees the samples between its own ``m``-th and ``(m+1)``-th
read. After a window every column that has a read left stands exactly where a sample-by-sample simulation
would read it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """One window of a mini-batch.

    Args:
        start: first sample any column sees.
        stop: one past the last sample any column sees.
        since: first sample that each column sees [I]; None if all see all.
        until: one past the last sample that each column sees [I]; None if all see all.
        columns: columns read at the end of the window, a slice if it is all of them.
        passes: number of full passes completed before each of these reads [number of reads].
        sample: sample after which each read happens [number of reads].
    """

    start: int
    stop: int
    since: Tensor | None
    until: Tensor | None
    columns: Tensor | slice
    passes: Tensor
    sample: Tensor


@dataclass
class TransferClock:
    """Counters of one transfer: samples seen, next column, full passes.

    Args:
        slices: number of columns I.
        every: samples between two transfers, >= 1.
        reads_at_once: columns read at every transfer, one after the other, >= 1.
        samples: samples seen so far.
        column: next column to read.
        passes: completed full passes.
    """

    slices: int
    every: int = 1
    reads_at_once: int = 1
    samples: int = 0
    column: int = 0
    passes: int = 0

    def reads_within(self, batch: int) -> int:
        """How many reads the next ``batch`` samples bring."""
        events = (self.samples + batch) // self.every - self.samples // self.every
        return events * self.reads_at_once

    def events(self, batch: int) -> list[int]:
        """Sample counts, within the next ``batch`` samples, after which a transfer happens."""
        return list(range(self.every - self.samples % self.every, batch + 1, self.every))

    def reads(self, batch: int) -> list[tuple[int, int]]:
        """Sample count and column of each read within the next ``batch`` samples, in order."""
        counts = [sample for sample in self.events(batch) for _ in range(self.reads_at_once)]
        return [(sample, (self.column + k) % self.slices) for k, sample in enumerate(counts)]

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
        return [first + read // self.reads_at_once * self.every for read in last]

    def windows(self, batch: int) -> list[Window]:
        """The windows of the next ``batch`` samples."""
        reads = self.reads_within(batch)
        first = self.every - self.samples % self.every
        offset = (
            torch.arange(self.slices) - self.column
        ) % self.slices  # reads before this column's first one
        windows, previous = [], torch.zeros(self.slices, dtype=torch.long)
        for m in range(-(-reads // self.slices) + 1):
            index = offset + m * self.slices
            read = index < reads
            at = first + index.div(self.reads_at_once, rounding_mode="floor") * self.every
            stops = torch.where(read, at, torch.full_like(index, batch))
            start, stop = int(previous.min()), int(stops.max())
            whole = bool((previous == start).all() and (stops == stop).all())
            columns = torch.nonzero(read).squeeze(-1)
            if bool((previous < stops).any()) or columns.numel():
                windows.append(
                    Window(
                        start,
                        stop,
                        None if whole else previous,
                        None if whole else stops,
                        slice(None) if columns.numel() == self.slices else columns,
                        self.passes + (self.column + index[columns]) // self.slices,
                        stops[columns] - 1,
                    )
                )
            previous = stops
        return windows

    def table(self, batch: int) -> tuple[Numbers, Numbers, NDArray[np.bool_], Numbers]:
        """The windows of the next ``batch`` samples as a table [windows, I].

        Returns:
            First sample each column sees in each window, one past the last one, whether it is read then, and
            the full passes completed before that read.
        """
        reads = self.reads_within(batch)
        first = self.every - self.samples % self.every
        offset = (np.arange(self.slices) - self.column) % self.slices
        index = offset + self.slices * np.arange(-(-reads // self.slices) + 1)[:, None]
        read = index < reads
        until = np.where(read, first + index // self.reads_at_once * self.every, batch)
        since = np.concatenate((np.zeros_like(until[:1]), until[:-1]))
        return since, until, read, self.passes + (self.column + index) // self.slices
