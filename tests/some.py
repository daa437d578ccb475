"""Many cases of one kind: some run by default, all of them with the slow tests."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import pytest


def some(cases: Iterable[Any], *by_default: Any) -> list[Any]:
    """The cases (a tuple: several arguments) as parameters of a test, marked slow where they are none of ``by_default``."""
    listed = [(case, case if isinstance(case, tuple) else (case,)) for case in cases]
    return [pytest.param(*own, marks=() if case in by_default else pytest.mark.slow) for case, own in listed]


def leave_few(items: Iterable[pytest.Item]) -> None:
    """Of the cases of a test marked ``few(n)`` let n run by default, of ``few(each="a b")`` one for every value of its
    arguments a and b: the same ones always, spread over all. The others are marked slow."""
    tests: dict[str, list[pytest.Function]] = defaultdict(list)
    for item in items:
        given = isinstance(item, pytest.Function) and item.get_closest_marker("few")
        if given and not item.get_closest_marker("slow"):
            tests[f"{item.path}::{item.originalname}"].append(item)
    for cases in tests.values():
        mark = next(cases[0].iter_markers("few"))
        spread = sorted(cases, key=lambda case: crc32(case.name.encode()))
        kept = _of_each(spread, mark.kwargs["each"].split()) if mark.kwargs else spread[: mark.args[0]]
        for case in set(cases) - set(kept):
            case.add_marker(pytest.mark.slow)


def _of_each(cases: Sequence[pytest.Function], names: Sequence[str]) -> list[pytest.Function]:
    """The first cases with which every value of these arguments has been seen."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for case in cases:
        own = {(name, str(case.callspec.params[name])) for name in names}
        if not own <= seen:
            kept.append(case)
            seen |= own
    return kept
