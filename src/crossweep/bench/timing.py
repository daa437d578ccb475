"""Timing on machines that other work shares: medians, and rivals in turn, so that drift hits them alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of one call.

    Args:
        wall: median elapsed time [s].
        cpu: median processor time of all threads [s].
        walls: all elapsed times, in the order of the rounds [s].
    """

    wall: float
    cpu: float
    walls: tuple[float, ...]


REST = 0.1  # between two calls [s]: threads that a rival leaves spinning would slow the next one


def _once(call: Callable[[], object]) -> tuple[float, float]:
    time.sleep(REST)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_turn(calls: Sequence[Callable[[], object]], *, seconds: float = 2.0, most: int = 25) -> list[Timing]:
    """Time ``calls`` one after the other, again and again; two rounds are not counted.

    Args:
        calls: what to time.
        seconds: rounds stop after this time, but not before five.
        most: largest number of rounds.
    """
    for _ in range(2):
        for call in calls:
            call()
    rounds: list[list[tuple[float, float]]] = []
    start = time.perf_counter()
    while len(rounds) < 5 or (len(rounds) < most and time.perf_counter() - start < seconds):
        rounds.append([_once(call) for call in calls])
    timings = []
    for results in zip(*rounds, strict=True):
        walls, cpus = zip(*results, strict=True)
        timings.append(Timing(median(walls), median(cpus), walls))
    return timings


def ratio(slow: Timing, fast: Timing) -> float:
    """Median of the rounds' own ratios of elapsed times."""
    return median(a / b for a, b in zip(slow.walls, fast.walls, strict=True))
