"""Which of many alike cases run by default: a marker that left none would hide a test from everyone."""

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from tests.some import leave_few


def cases(request: pytest.FixtureRequest, mark: pytest.MarkDecorator, **arguments: str) -> list[Any]:
    """Tests as they are collected, a case for every combination of the letters."""
    made: list[Any] = []
    for values in product(*arguments.values()):
        name = f"test_alike[{'-'.join(values)}]"
        case: Any = pytest.Function.from_parent(
            request.node.parent, name=name, callobj=cases, originalname="test_alike"
        )
        case.callspec = SimpleNamespace(params=dict(zip(arguments, values, strict=True)))
        case.add_marker(mark)
        made.append(case)
    return made


def by_default(found: list[Any]) -> list[Any]:
    leave_few(found)
    return [case for case in found if not case.get_closest_marker("slow")]


def test_so_many_run(request: pytest.FixtureRequest) -> None:
    assert len(by_default(cases(request, pytest.mark.few(3), a="abcdefgh"))) == 3
    assert len(by_default(cases(request, pytest.mark.few(3), a="ab"))) == 2


def test_every_value_of_the_named_arguments_runs(request: pytest.FixtureRequest) -> None:
    kept = by_default(cases(request, pytest.mark.few(each="a b"), a="abcde", b="xyz", c="12"))
    assert {case.callspec.params["a"] for case in kept} == set("abcde")
    assert {case.callspec.params["b"] for case in kept} == set("xyz")
    assert len(kept) <= 5 + 3


def test_slow_cases_do_not_count(request: pytest.FixtureRequest) -> None:
    found = cases(request, pytest.mark.few(1), a="abc")
    for case in found[:2]:
        case.add_marker(pytest.mark.slow)
    assert by_default(found) == found[2:]
