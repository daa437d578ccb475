"""How kernels are compiled: without the interpreter's lock, kept on disk, with arithmetic that vectorises."""

import logging
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock
from numba import config as _config
from numba import njit
from numba.core import event
from numba.core.caching import FunctionCache

log = logging.getLogger(__name__)
config: Any = _config  # its fields appear at run time
_Function = TypeVar("_Function", bound=Callable[..., Any])
_CONTRACT = {
    "contract"
}  # fused multiply-add; no other freedom, so that not-a-number and order stay as written


def _folder() -> str:
    """Where compiled kernels are kept; named after their sources.

    The compiler itself looks only at the file of the outermost function, and would not see a change in
    another.
    """
    here = Path(__file__).parent
    sources = b"".join(path.read_bytes() for path in (here.parent / "blocks.py", *sorted(here.glob("*.py"))))
    if config.CACHE_DIR:
        base = Path(config.CACHE_DIR)
    elif os.access(here, os.W_OK):
        base = here / "__pycache__"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "crossweep"
    return str(base / f"kernels-{blake2b(sources, digest_size=6).hexdigest()}")


_FOLDER = _folder()


def any_kept() -> bool:
    """Whether these sources were ever compiled for this machine (or are not to be compiled)."""
    return bool(config.DISABLE_JIT) or any(Path(_FOLDER).rglob("*.nbi"))


class Kept(FunctionCache):
    """Numba's cache of a kernel, for several processes at once.

    Each file of a kernel gets its number from an index that numba reads, changes and writes: two processes that compile
    it for different types at once would take the same number, and either could find the other's code under it.
    """

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code for one signature."""
        folder = Path(self.cache_path)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "writing.lock"):
            super().save_overload(sig, data)


class _Announcement(event.Listener):
    """Says once in a process that kernels are compiled: numba starts its event only for what lies in no cache."""

    said = False

    def on_start(self, happening: Any) -> None:
        ours = happening.data["dispatcher"].py_func.__module__.startswith("crossweep.engine.")
        if ours and not self.said:
            self.said = True
            # a warning, because programs that configure no logging show it too
            log.warning("compiling kernels for this machine, once: about a minute")

    def on_end(self, happening: Any) -> None:
        """Nothing: the next kernel follows at once."""


event.register("numba:compile", _Announcement())


def kernel(function: _Function) -> _Function:
    """A kernel that Python calls; it releases the interpreter's lock."""
    return _kept(function, _CONTRACT)


def summing(function: _Function) -> _Function:
    """A kernel whose sums may be taken in any fixed order, so that they vectorise."""
    return _kept(function, _CONTRACT | {"reassoc", "nsz"})


def _kept(function: _Function, freedom: set[str]) -> _Function:
    before, config.CACHE_DIR = config.CACHE_DIR, _FOLDER
    try:
        compiled: Any = njit(nogil=True, error_model="numpy", fastmath=freedom)(function)
        if not config.DISABLE_JIT:
            compiled._cache = Kept(function)
        return cast(_Function, compiled)
    finally:
        config.CACHE_DIR = before


def inline(function: _Function) -> _Function:
    """A function that becomes part of every kernel that calls it."""
    compiled: Any = njit(forceinline=True, error_model="numpy", fastmath=_CONTRACT)(function)
    return cast(_Function, compiled)
