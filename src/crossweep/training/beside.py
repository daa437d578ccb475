"""Work in a process of its own, beside what the caller does."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# not multiprocessing: it would import the caller's main module anew, and a script without a guard would start again
_CHILD = "import pickle, sys; function, arguments = pickle.load(sys.stdin.buffer); function(*arguments)"


@contextmanager
def beside(function: Callable[..., object], *arguments: Any) -> Iterator[Callable[[], bool]]:
    """Start ``function(*arguments)`` in another process, which ends with the block at the latest.

    For work that only saves time: what cannot be handed to another process, or fails there, is simply not done.

    Args:
        function: a function of a module, by name; it prints nothing.
        arguments: what can be pickled.

    Yields:
        A function that waits for the end and says whether all went well.
    """
    with tempfile.TemporaryFile() as handed:  # a pipe would make us wait for the other's imports
        try:
            pickle.dump((function, arguments), handed)
        except (pickle.PicklingError, AttributeError, TypeError):  # something local, or with a handle
            yield lambda: False
            return
        handed.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=handed,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            yield lambda: child.wait() == 0
        finally:
            child.kill()
            child.wait()
