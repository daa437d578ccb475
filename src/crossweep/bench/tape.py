"""A graph of launches without a GPU: every operation on tensors and every launch of a kernel, with the very arguments it
was given. What a CUDA graph would refuse, or would do to the wrong numbers, is refused here as well.

What it cannot show: memory that is used again within a graph, streams, and what drivers do.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

from crossweep import feed

_ASK = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::is_nonzero",
}
_INDEX = {"aten::index", "aten::index_put", "aten::index_put_"}
_MAKERS = {torch.arange, torch.empty, torch.eye, torch.full, torch.linspace, torch.ones, torch.zeros}
_MEMORY = {
    "aten::empty",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::new_empty",
    "aten::new_empty_strided",
}
_TAPE = "<tensor>"


class TapeError(RuntimeError):
    """A step does what a CUDA graph cannot hold."""


class Tape:
    """As ``training.graph.Graph``.

    Attributes:
        entries: what was done, and arguments that are no tensors.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []
        self._calls: list[Callable[[], None]] = []
        self._own: dict[int, Any] = {}  # memory made by the step
        self._before: dict[int, tuple[Any, Any]] = {}  # memory that was there, as it was
        self._there: dict[int, Any] = {}

    def capture(self, step: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Take down ``step``, which leaves no trace in memory that was there before."""
        every = (one for one in gc.get_objects() if type(one) in (Tensor, torch.nn.Parameter))
        found = (one for one in every if not torch._C._functorch.is_functorch_wrapped_tensor(one))
        # kept meanwhile, so that no new tensor takes the place of one
        self._there = {_memory(one): one.untyped_storage() for one in found}
        try:
            with _Functions(), _Operations(self), _launches(self):
                return step()
        finally:
            for storage, content in self._before.values():
                storage.copy_(content)
            self._before, self._there = {}, {}

    def replay(self) -> None:
        """Do it again."""
        with torch.no_grad():
            for call in self._calls:
                call()

    def note(self, name: str, arguments: Any, call: Callable[[], Any]) -> Any:
        """Do and take down one entry."""
        for tensor in _tensors(arguments):
            self._look(name, tensor)
        results = call()
        outputs = _tensors(results)
        for tensor in outputs:
            if _memory(tensor) not in self._before:
                self._own[_memory(tensor)] = (
                    tensor.untyped_storage()
                )  # kept, so that its address stays its own
        self.entries.append((name, tree_map_only(Tensor, lambda _: _TAPE, arguments)))

        def again() -> None:
            for place, value in zip(outputs, _tensors(call()), strict=True):
                if place is not value and place.data_ptr() != value.data_ptr():
                    place.copy_(value)

        if name not in _MEMORY:
            self._calls.append(again)
        return results

    def _look(self, name: str, tensor: Tensor) -> None:
        """An argument: of this step, or there before it began."""
        memory = _memory(tensor)
        if memory in self._own or memory in self._before or not tensor.untyped_storage().nbytes():
            return
        if memory not in self._there:
            raise TapeError(f"{name} takes a tensor of the host, which stays as it is")
        with _disable_current_modes():
            self._before[memory] = tensor.untyped_storage(), tensor.untyped_storage().clone()


class _Functions(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if feed.capturing() and function in _MAKERS and not (kwargs or {}).get("device"):
            raise TapeError(f"torch.{function.__name__} makes a tensor on the host")
        return function(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options, name = kwargs or {}, function._schema.name
        if not feed.capturing():  # the host's own
            return function(*args, **options)
        # places that are flagged are counted first
        flagged = name in _INDEX and any(one.dtype == torch.bool for one in _tensors(args[1]))
        if name in _ASK or flagged:
            raise TapeError(f"{name}: the host asks a tensor for its numbers")
        return self.tape.note(name, (args, options), lambda: function(*args, **options))


@contextmanager
def _launches(tape: Tape) -> Iterator[None]:
    """Launches in Triton's interpreter."""
    from triton.runtime.interpreter import InterpretedFunction

    run = InterpretedFunction.run

    def noted(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        def call() -> None:
            with _disable_current_modes():
                run(kernel, *args, grid=grid, warmup=warmup, **kwargs)

        return tape.note(kernel.fn.__name__, (grid, args, kwargs), call)

    InterpretedFunction.run = noted
    try:
        yield
    finally:
        InterpretedFunction.run = run


def _tensors(items: Any) -> list[Tensor]:
    return [one for one in tree_leaves(items) if isinstance(one, Tensor)]


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
