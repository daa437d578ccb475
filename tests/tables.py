"""What a test must be told of an option that it finds by its yaml."""

from collections.abc import Mapping
from typing import TypeVar

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
