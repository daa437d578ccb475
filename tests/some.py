"""Many cases of one kind: some run by default, all of them with the slow tests."""

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], *by_default: Any) -> list[Any]:
    """The cases (a tuple: several arguments) as parameters of a test, marked slow where they are none of ``by_default``."""
    listed = [(case, case if isinstance(case, tuple) else (case,)) for case in cases]
    return [pytest.param(*own, marks=() if case in by_default else pytest.mark.slow) for case, own in listed]
