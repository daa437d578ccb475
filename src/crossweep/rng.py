"""Named random streams: every draw of crossweep comes from one of them, none from the global generator.

A stream is a node in a tree. ``root.fork("layers.0").fork("pulses")`` always means the same numbers for the same
seed, whatever else draws, so a new noise source does not shift the others and two runs can share draws.
The whole tree saves and loads as one flat dictionary: stop and resume continue with the same bits.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_MASK63 = (1 << 63) - 1


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

    def fork(self, name: str) -> "Stream":
        """The child stream ``name``; asking twice gives the same object."""
        if name not in self._children:
            self._children[name] = Stream(self.seed, f"{self.path}/{name}")
        return self._children[name]

    def generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        """The torch generator of this stream on ``device``, made at first use and kept."""
        name = str(torch.device(device))
        if name not in self._generators:
            generator = torch.Generator(device=name)
            generator.manual_seed(derive_key(self.seed, self.path))
            self._generators[name] = generator
        return self._generators[name]

    def next_key(self) -> int:
        """A fresh 63-bit key for a counter-based kernel; consecutive calls give unrelated keys."""
        self._calls += 1
        return derive_key(self.seed, self.path, "key", self._calls)

    def normal(self, *shape: int, like: Tensor) -> Tensor:
        """Standard normal numbers of ``shape``, with dtype and device of ``like``."""
        generator = self.generator(like.device)
        return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)

    def uniform(self, *shape: int, like: Tensor) -> Tensor:
        """Uniform numbers in [0, 1) of ``shape``, with dtype and device of ``like``."""
        generator = self.generator(like.device)
        return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)

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
