"""Who asks a tensor for its numbers: on an accelerator it would wait there for all that was launched."""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import crossweep

_PACKAGE = Path(crossweep.__file__).parent
_ASKS = {Tensor.tolist, Tensor.numpy, Tensor.cpu, torch.equal}
_ASK = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"}


def _asker() -> str:
    """The innermost line of the package that is being executed."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if _PACKAGE in path.parents:
            return f"{path.relative_to(_PACKAGE)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "outside"


class Waits(AbstractContextManager["Waits"]):
    """While it is active, notes the lines of the package that ask, but for those of engines, which have tests of their own.

    Threads other than this one are not seen.

    Args:
        engines: note those of engines as well.

    Attributes:
        found: as ``folder/file.py:line``, in order.
    """

    def __init__(self, *, engines: bool = False) -> None:
        self.found: list[str] = []
        self._others = ("outside",) if engines else ("engine/", "outside")
        self._modes = ExitStack()

    def note(self) -> None:
        asker = _asker()
        if not asker.startswith(self._others):
            self.found.append(asker)

    def __enter__(self) -> "Waits":
        self._modes.enter_context(_Functions(self.note))
        self._modes.enter_context(_Operations(self.note))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._modes.close()


class _Functions(TorchFunctionMode):
    def __init__(self, note: Callable[[], None]) -> None:
        super().__init__()
        self.note = note

    def __torch_function__(
        self, function: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function in _ASKS:
            self.note()
        return function(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, note: Callable[[], None]) -> None:
        super().__init__()
        self.note = note

    def __torch_dispatch__(
        self,
        function: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function._schema.name in _ASK:
            self.note()
        return function(*args, **(kwargs or {}))
