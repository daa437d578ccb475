"""Instances one after the other."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from crossweep.engine.base import Crossbar
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.rng import Company

Method = TypeVar("Method", bound=Callable[..., Any])


def apart(method: Method) -> Method:
    """A method that works on one instance, for several: how often one draws may depend on its own data and must not move
    what another draws.

    Tensors of floats, plans and crossbars have the leading axis; whole numbers say which columns, of all.
    """

    @wraps(method)
    def whole(self: Any, *args: Any, **options: Any) -> Any:
        stream = next((arg for arg in args if isinstance(arg, Company)), None)
        if stream is None:
            return method(self, *args, **options)
        found = [
            method(self, *(member if arg is stream else _one(arg, i) for arg in args), **options)
            for i, member in enumerate(stream.members)
        ]
        return tuple(map(torch.stack, zip(*found))) if isinstance(found[0], tuple) else torch.stack(found)

    return whole  # type: ignore[return-value]


def _one(arg: Any, i: int) -> Any:
    if isinstance(arg, Tensor):
        return arg[i] if arg.is_floating_point() else arg
    return arg.instance(i) if isinstance(arg, PulsePlan | Crossbar) else arg
