"""What the host does in a training step for the device: values that it makes anew each time, and what it keeps account of.

A step that was captured as a graph of launches runs again without its Python. So code that makes such a value says how:
keys of random numbers, schedules of transfers, learning rates, counts of events. Without a feed it acts at once, and that
is all. While a step is tried (``Trial``) or captured (``Record``), it also becomes part of the feed, which does the same
again for every further step: in the same order, into tensors that stay where they are.

There is one feed at a time in a process, since backward passes run in threads of their own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossweep.errors import CrossweepError

Array = NDArray[Any] | Tensor
_ALIGNED = 256  # bytes: kernels are compiled for tensors that begin at multiples of 16
_BUFFERS = 2  # on the host, so that the next step's values are made while the device takes those of this one


class UncapturedError(CrossweepError):
    """A step does what cannot be captured."""


class Trial:
    """The feed of a step that runs as ever: what it would take to capture it.

    Attributes:
        size: bytes of all values.
        reasons: why it cannot be captured; empty: nothing speaks against it.
    """

    def __init__(self) -> None:
        self.size = 0
        self.reasons: list[str] = []
        self._facts: list[tuple[Callable[[], object], object]] = []

    def give(self, make: Callable[[], Array], device: torch.device, *, constant: bool = False) -> Tensor:
        """See ``given`` and ``constant``."""
        value = _array(make)
        self.size += _rounded(value.nbytes)
        return _moved(value, device)

    def repeat(self, action: Callable[[], object]) -> None:
        """See ``again``."""

    def refuse(self, reason: str) -> None:
        """See ``refuse``."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def fact(self, fact: Callable[[], object]) -> None:
        """See ``same``."""
        self._facts.append((fact, _quietly(fact)))

    def fits(self) -> bool:
        """Whether the next step is built as this one was."""
        return all(fact() == known for fact, known in self._facts)


class Record:
    """The feed of a step that is captured.

    Args:
        size: bytes of all values, see ``Trial``.
        device: where they go.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        pinned = device.type == "cuda"
        self._there = torch.zeros(size, dtype=torch.uint8, device=device)
        self._here = [torch.zeros(size, dtype=torch.uint8, pin_memory=pinned) for _ in range(_BUFFERS)]
        self._arrays = [one.numpy() for one in self._here]
        self._taken: list[torch.cuda.Event | None] = [None] * _BUFFERS
        self._actions: list[Callable[[int], object]] = []
        self._used = self._turn = 0

    def give(self, make: Callable[[], Array], device: torch.device, *, constant: bool = False) -> Tensor:
        """See ``given`` and ``constant``."""
        value = _array(make)
        begin, end = self._used, self._used + value.nbytes
        self._used += _rounded(value.nbytes)
        if self._used > self._there.numel():
            raise UncapturedError("the step is built otherwise than when it was tried")
        places = [one[begin:end].view(value.dtype).reshape(value.shape) for one in self._arrays]
        for place in places:
            place[...] = value
        if not constant:
            self._actions.append(lambda turn: _write(places[turn], _array(make)))
        kind = _quietly(lambda: torch.from_numpy(np.empty(0, value.dtype)).dtype)
        return self._there[begin:end].view(kind).view(value.shape)

    def repeat(self, action: Callable[[], object]) -> None:
        """See ``again``."""
        self._actions.append(lambda turn: action())

    def refuse(self, reason: str) -> None:
        """See ``refuse``."""
        raise UncapturedError(reason)

    def fact(self, fact: Callable[[], object]) -> None:
        """See ``same``."""

    def send(self) -> None:
        """Give the device the values of this step, in one transfer."""
        self._there.copy_(self._here[self._turn], non_blocking=True)
        if self._there.is_cuda:
            self._taken[self._turn] = torch.cuda.Event()
            self._taken[self._turn].record()  # type: ignore[union-attr]

    def renew(self) -> None:
        """Do again, for the next step, all that the host did in the one that was captured."""
        self._turn = (self._turn + 1) % _BUFFERS
        taken = self._taken[self._turn]
        if taken is not None:
            taken.synchronize()  # the step before the last one has begun
        for action in self._actions:
            action(self._turn)


Feed = Trial | Record
_feed: Feed | None = None


@contextmanager
def feeding(feed: Feed) -> Iterator[None]:
    """While it is active, what the host does becomes part of ``feed``."""
    global _feed  # noqa: PLW0603
    before, _feed = _feed, feed
    try:
        yield
    finally:
        _feed = before


def active() -> bool:
    """Whether there is a feed."""
    return _feed is not None


def capturing() -> bool:
    """Whether a step is being captured."""
    return isinstance(_feed, Record)


def given(make: Callable[[], Array], like: Tensor) -> Tensor:
    """What ``make`` gives in this step, on the device of ``like``; in further steps the same shape, in the same place."""
    if _feed is None:
        return _moved(make(), like.device)
    return _feed.give(make, like.device)


def constant(make: Callable[[], Array], like: Tensor) -> Tensor:
    """The same, of what is the same in all steps."""
    if _feed is None:
        return _moved(make(), like.device)
    return _feed.give(make, like.device, constant=True)


def number(make: Callable[[], float], like: Tensor) -> Any:
    """A factor of this step; with a feed a float64 tensor without dimensions."""
    if _feed is None:
        return make()
    return _feed.give(lambda: np.array(make(), np.float64), like.device)


def also(action: Callable[[], object]) -> None:
    """Do what concerns the host alone, now and in every further step."""
    _quietly(action)
    again(action)


def again(action: Callable[[], object]) -> None:
    """Do it in every further step."""
    if _feed is not None:
        _feed.repeat(action)


def same(fact: Callable[[], object]) -> None:
    """Further steps can be this one again as long as ``fact`` gives the same; it is asked before they begin."""
    if _feed is not None:
        _feed.fact(fact)


def refuse(reason: str) -> None:
    """The step cannot be captured.

    Raises:
        UncapturedError: it is being captured.
    """
    if _feed is not None:
        _feed.refuse(reason)


def _quietly(make: Callable[[], Any]) -> Any:
    """What ``make`` gives without a feed: what it does belongs to the caller's entry."""
    global _feed  # noqa: PLW0603
    if _feed is None:
        return make()
    before, _feed = _feed, None
    try:
        return make()
    finally:
        _feed = before


def _array(make: Callable[[], Array]) -> NDArray[Any]:
    def numbers() -> NDArray[Any]:
        value = make()
        return value.numpy() if isinstance(value, Tensor) else np.asarray(value)

    found: NDArray[Any] = _quietly(numbers)
    return found


def _moved(value: Array, device: torch.device) -> Tensor:
    tensor = (
        value
        if isinstance(value, Tensor)
        else torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
    )
    return tensor.to(device, non_blocking=True)


def _write(place: NDArray[Any], value: NDArray[Any]) -> None:
    if value.shape != place.shape or value.dtype != place.dtype:
        raise AssertionError(f"a value became {value.dtype}{value.shape}, was {place.dtype}{place.shape}")
    place[...] = value


def _rounded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
