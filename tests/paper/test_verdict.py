"""A verdict holds what it promises: few wrong ones over a whole table, and none from a single seed."""

import numpy as np
import pytest

from crossweep.paper.verdict import Verdict, judge
from tests import expect

LIMIT = 1.2


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.1, 0.2, 0.0, 0.3, 0.1], Verdict.HELD),
        ([4.0, 4.5, 4.2, 4.4, 4.1], Verdict.NOT_HELD),
        ([-3.0, 5.0, 1.0, 2.0, -1.0], Verdict.OPEN),
        ([0.0, 0.0, 0.0], Verdict.HELD),  # a difference without any scatter
        ([0.0], Verdict.OPEN),
        ([float("nan"), 0.0], Verdict.OPEN),
    ],
)
def test_a_mean_is_judged_by_its_scatter(values: list[float], verdict: Verdict) -> None:
    assert judge([values], LIMIT)[0].verdict == verdict


def test_over_a_whole_table_one_wrong_verdict_in_twenty_tables() -> None:
    rng, tables = np.random.default_rng(5), 600
    wrong = sum(
        any(one.verdict != Verdict.OPEN for one in judge(list(LIMIT + rng.normal(size=(8, 5))), LIMIT))
        for _ in range(tables)
    )
    # Holm's first step is Bonferroni's: with independent true nulls the rate is 1 - (1 - 0.05 / 8)^8
    expect.rate(wrong, tables, 1 - (1 - 0.05 / 8) ** 8)
