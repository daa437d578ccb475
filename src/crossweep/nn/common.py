"""What instances side by side have in common: one description for all of them, silent about what differs."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import new_class
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from crossweep.engine.base import Engine
from crossweep.errors import CrossweepError
from crossweep.rng import Stream


class ApartError(CrossweepError):
    """Models that cannot train side by side; the text says why."""


def common(items: Sequence[Any], name: str = "") -> Any:
    """One description for several instances. A field in which they differ refuses to be read.

    So nothing needs to know which numbers act only where devices are drawn: whoever goes by another one asks for it.

    Args:
        items: instances of frozen dataclasses.
        name: where the description stands, for the message.
    """
    first = items[0]
    if all(same(item, first) for item in items[1:]):
        return first
    kept, secret = {}, {}
    for one in fields(first):
        key, values = f"{name}.{one.name}".lstrip("."), [getattr(item, one.name) for item in items]
        if _described_alike(values) or all(same(value, values[0]) for value in values):
            kept[one.name] = common(values, key) if _described_alike(values) else values[0]
        else:
            secret[one.name] = property(_Refusal(key))
    kind = type(first)
    whole: Any = object.__new__(
        new_class(kind.__name__, (kind,), exec_body=lambda names: names.update(secret))
    )
    for key, value in kept.items():
        object.__setattr__(whole, key, value)
    return whole


class _Refusal:
    """The getter of a number in which instances differ."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, _: Any) -> NoReturn:
        raise ApartError(f"the instances differ in {self.key}, which acts while they train")


def _described_alike(values: Sequence[Any]) -> bool:
    return is_dataclass(values[0]) and all(type(value) is type(values[0]) for value in values)


def same(first: Any, second: Any) -> bool:  # noqa: PLR0911  (one return per kind of thing)
    """Whether two instances agree in something that is neither stacked nor drawn."""
    if first is second or isinstance(first, Tensor | Stream | nn.Module):  # each has its own place
        return True
    if type(first) is not type(second):
        return False
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, Engine):
        return same(first.parameters, second.parameters)
    if isinstance(first, torch.optim.Optimizer):
        return same(first.param_groups, second.param_groups)
    if is_dataclass(first):
        return all(same(getattr(first, one.name), getattr(second, one.name)) for one in fields(first))
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)
