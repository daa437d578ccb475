"""What a loop tells the outside world while it runs."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Receives the life signs of a training loop."""

    def batch(self, title: str, done: int, total: int) -> None:
        """``done`` of ``total`` mini-batches of the loop ``title`` are through."""

    def epoch(self, title: str, row: Mapping[str, float], epochs: int) -> bool:
        """An epoch is over, here is its row of the history; True asks the loop to stop (a pruned trial)."""


class Silent:
    """No output, never stops."""

    def batch(self, title: str, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, title: str, row: Mapping[str, float], epochs: int) -> bool:
        """Never stops."""
        return False
