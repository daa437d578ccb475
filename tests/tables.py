"""Tables of options for tests: what must be told of each, and combinations of several."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def entry(table: Mapping[str, T], name: str, where: str, what: str) -> T:
    """The entry of an option; where a new one has none, the test fails with what to add.

    Args:
        table: by the option's name.
        name: of the option.
        where: the table's own name and file.
        what: an entry holds.
    """
    if name not in table:
        pytest.fail(f"{where}: add an entry for {name!r}, {what}", pytrace=False)
    return table[name]


def in_pairs(names: str, first: Iterable[object], second: Iterable[object], third: Sequence[object]) -> Any:
    """A matrix of three parameters: by default every combination of any two of them, the rest of it `slow`.

    A fault of one value or of two together shows in the default run; what takes three, in the slow one.
    """
    cells = []
    for (i, a), (j, b), (k, c) in product(enumerate(first), enumerate(second), enumerate(third)):
        rest = () if (i + j) % len(third) == k else (pytest.mark.slow,)
        cells.append(pytest.param(a, b, c, marks=rest))
    return pytest.mark.parametrize(names, cells)
