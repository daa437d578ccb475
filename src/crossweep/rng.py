"""Named random streams: every draw of crossweep comes from one of them, none from the global generator.

A stream is a node in a tree. ``root.fork("layers.0").fork("pulses")`` always means the same numbers for the same
seed, whatever else draws, so a new noise source does not shift the others and two runs can share draws.
The whole tree saves and loads as one flat dictionary: stop and resume continue with the same bits.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from crossweep import feed

_MASK63 = (1 << 63) - 1
_CPU = torch.device("cpu")
_FROZEN = "random numbers are drawn that would be the same in every step"


def derive_key(*parts: object) -> int:
    """A 63-bit key that depends on every part; stable over processes, machines and Python versions."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") & _MASK63


class Stream:
    """A named, seeded source of random numbers.

    Args:
        seed: root seed [1].
        path: position in the tree; names joined by ``/``.
    """

    def __init__(self, seed: int, path: str = "") -> None:
        self.seed = seed
        self.path = path
        self._children: dict[str, Stream] = {}
        self._generators: dict[str, torch.Generator] = {}
        self._calls = 0
        self._keys = (
            f"{seed}\x1f{path}\x1fkey\x1f".encode()
        )  # `derive_key` of (seed, path, "key", number), less the number

    @property
    def lead(self) -> tuple[int, ...]:
        """Leading shape of what is drawn for instances side by side; () of one alone."""
        return ()

    @property
    def many(self) -> int:
        """Number of instances."""
        return 1

    def at(self, place: tuple[int, ...]) -> "Stream":
        """The stream of the crossbar at a leading index, which may go further than instances do."""
        return self

    def fork(self, name: str) -> "Stream":
        """The child stream ``name``; asking twice gives the same object."""
        if name not in self._children:
            self._children[name] = Stream(self.seed, f"{self.path}/{name}")
        return self._children[name]

    def generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        """The torch generator of this stream on ``device``, made at first use and kept."""
        feed.refuse(_FROZEN)
        name = str(torch.device(device))
        if name not in self._generators:
            generator = torch.Generator(device=name)
            generator.manual_seed(derive_key(self.seed, self.path))
            self._generators[name] = generator
        return self._generators[name]

    def next_key(self) -> int:
        """A fresh 63-bit key for a counter-based kernel; consecutive calls give unrelated keys."""
        feed.refuse(_FROZEN)
        self._calls += 1
        digest = hashlib.blake2b(self._keys + b"%d" % self._calls, digest_size=8)
        return int.from_bytes(digest.digest(), "big") & _MASK63

    def normal(self, *shape: int, like: Tensor, portable: bool = False) -> Tensor:
        """Standard normal numbers of ``shape``, with dtype and device of ``like``.

        ``portable``: drawn on the CPU and then moved, so that they are the same on every device. It takes its time.
        """
        return self._drawn(torch.randn, shape, like, portable=portable)

    def uniform(self, *shape: int, like: Tensor, portable: bool = False) -> Tensor:
        """Uniform numbers in [0, 1) of ``shape``, likewise."""
        return self._drawn(torch.rand, shape, like, portable=portable)

    def _drawn(self, draw: Any, shape: tuple[int, ...], like: Tensor, *, portable: bool) -> Tensor:
        def draws(place: torch.device) -> Tensor:
            drawn: Tensor = draw(shape, generator=self.generator(place), device=place, dtype=dtype)
            return drawn

        dtype = like.dtype
        return feed.given(lambda: draws(_CPU), like) if portable else draws(like.device)

    def state_dict(self) -> dict[str, Any]:
        """State of this stream and all below it: path -> {calls, generator states}."""
        own = {"calls": self._calls, "generators": {k: g.get_state() for k, g in self._generators.items()}}
        state: dict[str, Any] = {self.path: own} if self._calls or self._generators else {}
        for child in self._children.values():
            state.update(child.state_dict())
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where ``state_dict`` was taken; streams that had drawn nothing start afresh."""
        own = state.get(self.path, {"calls": 0, "generators": {}})
        self._calls = int(own["calls"])
        self._generators = {}
        for name, saved in own["generators"].items():
            self.generator(name).set_state(saved.cpu())
        prefix = f"{self.path}/"
        for path in state:
            if path.startswith(prefix):
                self.fork(path[len(prefix) :].split("/")[0])
        for child in self._children.values():
            child.load_state_dict(state)


class Company(Stream):
    """The streams of several instances side by side: what is drawn has one leading axis, and each part of it is what that
    instance would have drawn alone.

    Args:
        members: stream of each instance; shared, not copied.
    """

    def __init__(self, members: Sequence[Stream]) -> None:
        self.members = tuple(members)
        self.path = self.members[0].path
        self._forks: dict[str, Company] = {}

    @property
    def lead(self) -> tuple[int, ...]:
        return (len(self.members),)

    @property
    def many(self) -> int:
        return len(self.members)

    def at(self, place: tuple[int, ...]) -> Stream:
        return self.members[place[0]]

    def fork(self, name: str) -> "Company":
        if name not in self._forks:
            self._forks[name] = Company([member.fork(name) for member in self.members])
        return self._forks[name]

    def normal(self, *shape: int, like: Tensor, portable: bool = False) -> Tensor:
        own = self._own(shape)
        return torch.stack([member.normal(*own, like=like, portable=portable) for member in self.members])

    def uniform(self, *shape: int, like: Tensor, portable: bool = False) -> Tensor:
        own = self._own(shape)
        return torch.stack([member.uniform(*own, like=like, portable=portable) for member in self.members])

    def _own(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if shape[:1] != self.lead:
            raise ValueError(f"{self.path}: {self.many} instances cannot share a draw of shape {shape}")
        return shape[1:]

    def generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        raise ValueError(f"{self.path}: each of the {self.many} instances has a generator of its own")

    def next_key(self) -> int:
        raise ValueError(f"{self.path}: each of the {self.many} instances has keys of its own")

    def state_dict(self) -> dict[str, Any]:
        raise ValueError(f"{self.path}: each of the {self.many} instances has a state of its own")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        raise ValueError(f"{self.path}: each of the {self.many} instances has a state of its own")
