"""Instances one after the other."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from crossweep.common import differ, own
from crossweep.engine.base import Crossbar
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.rng import Company

Method = TypeVar("Method", bound=Callable[..., Any])


def apart(method: Method) -> Method:
    """A method that works on one instance, for several: how often one draws may depend on its own data and must not move
    what another draws.

    Tensors of floats, plans and crossbars have the leading axis; whole numbers say which columns, of all. Of descriptions
    and numbers in which instances differ, each gets its own.
    """
    return _wrapped(method, lambda arg: arg.many if isinstance(arg, Company) else 0)


def unlike(method: Method) -> Method:
    """A method that works on several instances at once, where they do not differ in a description or a number that it is
    given; else as ``apart``."""
    return _wrapped(method, differ)


def _wrapped(method: Method, several: Callable[[Any], int]) -> Method:
    @wraps(method)
    def whole(*args: Any, **options: Any) -> Any:
        many = max(map(several, args))
        if not many:
            return method(*args, **options)
        return _stacked([method(*(_one(arg, i) for arg in args), **options) for i in range(many)])

    return whole  # type: ignore[return-value]


def _one(arg: Any, i: int) -> Any:
    if isinstance(arg, Company):
        return arg.members[i]
    if isinstance(arg, Tensor):
        return arg[i] if arg.is_floating_point() else arg
    if isinstance(arg, PulsePlan | Crossbar):
        return arg.instance(i)
    if isinstance(arg, tuple):
        return tuple(_one(part, i) for part in arg)
    if isinstance(arg, Mapping):
        return {name: _one(part, i) for name, part in arg.items()}
    return own(arg, i)


def _stacked(found: list[Any]) -> Any:
    first = found[0]
    if isinstance(first, tuple):
        return tuple(_stacked(list(column)) for column in zip(*found, strict=True))
    if isinstance(first, Mapping):
        return {name: _stacked([one[name] for one in found]) for name in first}
    return torch.stack(found)
