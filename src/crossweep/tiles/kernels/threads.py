"""Rows of a crossbar over threads. Kernels release the interpreter's lock, so plain threads do; results
never depend
on how many there are, because every random number belongs to a row or a line.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
