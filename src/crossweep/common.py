"""What instances side by side have in common: one description for all of them, silent about what differs.

A description says what all instances agree on, and refuses whoever asks for something in which they differ, so that nobody
is ever given the first one's number. Whoever can take each instance's own asks for that: `own`, `lift`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from numbers import Real
from types import new_class
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from crossweep import feed
from crossweep.errors import CrossweepError
from crossweep.rng import Stream

T = TypeVar("T")


class ApartError(CrossweepError):
    """Models that cannot train side by side; the text says why."""


def refuse(name: str) -> NoReturn:
    """Nobody can take the instances' own ``name``."""
    raise ApartError(f"the instances differ in {name}, which acts while they train")


class Each:
    """A number of each instance. Arithmetic with it is refused: who can take the numbers asks for them.

    Args:
        values: of each; where they are fed to a step, a tensor [instances].
        name: where the number stands, for the message.
    """

    def __init__(self, values: Sequence[float] | Tensor, name: str) -> None:
        self.values = values if isinstance(values, Tensor) else tuple(values)
        self.name = name

    def __len__(self) -> int:
        return len(self.values)

    def over(self, like: Tensor) -> Tensor:
        """The numbers as a tensor that each instance's part of ``like [instances, ...]`` can be combined with."""
        numbers = self.values
        if not isinstance(numbers, Tensor):
            numbers = feed.constant(lambda: np.array(self.values, np.float64), like)
        return numbers.to(like.dtype).view(-1, *[1] * (like.dim() - 1))

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), options: Any = None) -> NoReturn:
        refuse(next(arg.name for arg in (*args, *(options or {}).values()) if isinstance(arg, cls)))


def _refused(self: Each, *_: Any) -> NoReturn:
    refuse(self.name)


for _operation in (
    *("bool", "float", "int", "index", "round", "ceil", "floor", "trunc", "abs", "neg", "hash"),
    *("eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow"),
    *("radd", "rsub", "rmul", "rtruediv", "rfloordiv", "rmod", "rpow"),
):
    setattr(Each, f"__{_operation}__", _refused)

Number: TypeAlias = float | Each


@dataclass(frozen=True)
class Moving:
    """A learning rate that follows a schedule.

    Args:
        now: gives it, or that of each instance.
    """

    now: Callable[[], Number]


Rate: TypeAlias = Number | Moving


def now(rate: Rate) -> Number:
    """A learning rate as it is in this step."""
    return rate.now() if isinstance(rate, Moving) else rate


def fed(make: Callable[[], Number], like: Tensor) -> Any:
    """A factor of this step, or that of each instance; with a feed a tensor, or tensors, see ``feed.number``."""
    number = make()
    if not isinstance(number, Each):
        return feed.number(cast(Callable[[], float], make), like)
    if not feed.active():
        return number
    return Each(feed.given(lambda: np.array(cast(Each, make()).values, np.float64), like), number.name)


class Shared:
    """What `common` makes of several descriptions: an instance of their class."""

    _items: tuple[Any, ...]
    _name: str
    _sealed: bool
    _known: dict[str, Any]


def common(items: Sequence[Any], name: str = "", *, sealed: bool = False) -> Any:
    """What several instances have in common.

    Where all are the same: that. Of numbers that differ, or that lie in tensors: an `Each`. Of descriptions that differ:
    one of their class, whose fields and properties say what all agree on and refuse to be read where they do not.

    Args:
        items: instances of frozen dataclasses, numbers, tensors without dimensions that hold one, or tuples of them.
        name: where they stand, for the message.
        sealed: nobody can ask for an instance's own; so nothing needs to know which numbers act only where devices are
            drawn, and whoever goes by another one is refused.

    Raises:
        ApartError: they are of different kinds, or differ in what is no number.
    """
    first = items[0]
    if all(same(item, first, placed=False) for item in items[1:]):
        return first
    if all(map(_is_number, items)):
        return refuse(name) if sealed else Each(_as_one(items), name)
    if any(type(item) is not type(first) for item in items):
        refuse(name)
    if isinstance(first, tuple) and all(len(item) == len(first) for item in items):
        return tuple(common(column, name, sealed=sealed) for column in zip(*items, strict=True))
    if not is_dataclass(first):
        refuse(name)
    kind: Any = type(first)
    whole: Any = object.__new__(_shared(kind))
    for key, value in {"_items": tuple(items), "_name": name, "_sealed": sealed, "_known": {}}.items():
        object.__setattr__(whole, key, value)
    return whole


def numbers_only(items: Sequence[Any]) -> bool:
    """Whether descriptions differ in numbers at most, of which some may be None."""
    first = items[0]
    if all(item is None or _is_number(item) for item in items) or all(same(item, first) for item in items):
        return True
    if any(type(item) is not type(first) for item in items):
        return False
    if is_dataclass(first):
        return all(numbers_only([getattr(item, one.name) for item in items]) for one in fields(first))
    lists = isinstance(first, tuple) and len({len(item) for item in items}) == 1
    return lists and all(map(numbers_only, zip(*items, strict=True)))


def _is_number(item: object) -> bool:
    if isinstance(item, Tensor):
        return item.dim() == 0
    return isinstance(item, Real) and not isinstance(item, bool)


def _as_one(numbers: Sequence[Any]) -> Sequence[float] | Tensor:
    there = next((one for one in numbers if isinstance(one, Tensor)), None)
    if there is None:
        return numbers
    return torch.stack([one if isinstance(one, Tensor) else there.new_full((), one) for one in numbers])


@cache
def _shared(kind: type) -> type:
    """The class of what several of a kind have in common."""
    asked = {one.name for one in fields(kind)}
    asked |= {key for base in kind.__mro__ for key, item in vars(base).items() if isinstance(item, property)}
    own: dict[str, Any] = {key: _Agreed(key) for key in asked}
    # what `replace` and the like make is an ordinary one
    own["__new__"] = lambda _, *args, **options: kind(*args, **options)
    return new_class(kind.__name__, (Shared, kind), exec_body=lambda names: names.update(own))


class _Agreed:
    """A field or a property of a description of several."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __get__(self, whole: Any, _: type) -> Any:
        if whole is None:
            return self
        if self.key not in whole._known:
            name = f"{whole._name}.{self.key}".lstrip(".")
            found = common([getattr(item, self.key) for item in whole._items], name, sealed=whole._sealed)
            if any(isinstance(one, Each) for one in (found if isinstance(found, tuple) else (found,))):
                refuse(name)
            whole._known[self.key] = found
        return whole._known[self.key]

    def __set__(self, whole: Any, value: object) -> NoReturn:
        raise AttributeError(f"cannot assign to {self.key}")


def over(number: Number, like: Tensor) -> float | Tensor:
    """A number as it can be combined with a tensor [instances, ...]."""
    return number.over(like) if isinstance(number, Each) else number


def differ(item: object) -> int:
    """Number of instances whose own descriptions or numbers somebody may ask for; 0: all of them are the same."""
    if isinstance(item, Each):
        return len(item)
    if isinstance(item, Shared):
        return 0 if item._sealed else len(item._items)
    return max(map(differ, item), default=0) if isinstance(item, tuple) else 0


def own(item: T, i: int) -> T:
    """The description or number of instance ``i``."""
    found: Any = item
    if isinstance(item, Each):
        found = item.values[i]
    elif isinstance(item, Shared) and not item._sealed:
        found = item._items[i]
    elif isinstance(item, tuple):
        found = tuple(own(one, i) for one in item)
    return found  # type: ignore[no-any-return]


def lift(function: Callable[..., Any], *given: Any, name: str = "") -> Any:
    """What a function without effects says, as of one instance; where it asks for what they differ in, what it says of
    each.

    Raises:
        ApartError: as of `common`.
    """
    many = differ(given)
    if not many:
        return function(*given)
    if not _numbers(given):  # else they would go into what it says
        with suppress(ApartError):
            return function(*given)
    return common([function(*own(given, i)) for i in range(many)], name)


def _numbers(item: object) -> bool:
    return any(map(_numbers, item)) if isinstance(item, tuple) else isinstance(item, Each)


def of_each(many: int, function: Callable[..., T], *given: Any) -> list[T]:
    """What a function says of each of ``many`` instances; it is asked once where their descriptions are the same."""
    if not differ(given):
        return [function(*given)] * many
    return [function(*own(given, i)) for i in range(many)]


def same(first: Any, second: Any, *, placed: bool = True) -> bool:  # noqa: PLR0911  (one return per kind of thing)
    """Whether two instances agree in something that is neither stacked nor drawn; ``placed``: each keeps its tensors."""
    if first is second or isinstance(first, Stream | nn.Module) or (placed and isinstance(first, Tensor)):
        return True
    same_too = partial(same, placed=placed)
    if type(first) is not type(second):
        return False
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, Tensor):
        return False  # nobody looks at its numbers
    if isinstance(first, torch.optim.Optimizer):
        return same_too(first.param_groups, second.param_groups)
    if is_dataclass(first):
        return all(same_too(getattr(first, one.name), getattr(second, one.name)) for one in fields(first))
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same_too(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same_too, first, second))
    return bool(first == second)
