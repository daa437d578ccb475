"""Rows of a crossbar over threads. Kernels release the interpreter's lock, so plain threads do; results never
depend on how many there are, because every random number belongs to a row or a line.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise

import torch

_WORTH = 200_000  # below about so many elementary operations a thread costs more than it brings


@lru_cache(maxsize=1)
def _pool(process: int, size: int) -> ThreadPoolExecutor:
    """The threads of this process (a forked child must not use its parent's)."""
    return ThreadPoolExecutor(size, thread_name_prefix="crossweep")


def spread(work: Callable[[int, int], object], rows: int, cost: float) -> None:
    """Call ``work(top, bottom)`` for parts of ``rows`` rows, on as many threads as torch uses.

    Args:
        work: handles a range of rows.
        rows: number of rows.
        cost: elementary operations in all; little work stays on this thread.
    """
    threads = min(torch.get_num_threads(), rows, int(cost // _WORTH) + 1)
    if threads <= 1:
        work(0, rows)
        return
    edges = [rows * k // threads for k in range(threads + 1)]
    own, *others = pairwise(edges)
    pool = _pool(os.getpid(), torch.get_num_threads() - 1)
    waiting = [pool.submit(work, *part) for part in others]
    work(*own)
    for future in waiting:
        future.result()


def spread_all(works: Sequence[Callable[[int, int], object]], rows: int, cost: float) -> None:
    """``spread`` over several works of as many rows each, as if their rows lay one below the other."""
    if len(works) == 1:
        spread(works[0], rows, cost)
        return

    def all_of(first: int, last: int) -> None:
        for k in range(first // rows, -(-last // rows)):
            works[k](max(first - k * rows, 0), min(last - k * rows, rows))

    spread(all_of, rows * len(works), cost)


def side_by_side(tasks: Sequence[Callable[[], object]]) -> None:
    """Do independent tasks, each on one thread, on as many threads as torch uses; the largest should come first.

    Against one task after the other on all threads, what a task does in Python overlaps with the kernels of another.
    """
    threads = torch.get_num_threads()
    if min(threads, len(tasks)) <= 1:
        for task in tasks:
            task()
        return
    queue = iter(tasks)

    def take() -> None:
        torch.set_num_threads(1)  # for everyone, but parts of it hold for the calling thread only
        for task in queue:
            task()

    pool = _pool(os.getpid(), threads - 1)
    waiting = [pool.submit(take) for _ in range(min(threads, len(tasks)) - 1)]
    try:
        take()
    finally:  # an interrupted step leaves nobody behind who still works on it
        wait(waiting)
        torch.set_num_threads(threads)
    for future in waiting:
        future.result()
