"""Intervals that cover, and comparisons that pair."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from crossweep.results.points import replication
from crossweep.results.stats import compare, estimate
from tests import expect


@pytest.mark.parametrize("n", [2, 3, 5])
def test_intervals_cover_as_stated_even_with_two_seeds(n: int) -> None:
    samples = np.random.default_rng(0).normal(3.0, 2.0, (4000, n))
    hits = sum(e.low < 3.0 < e.high for e in map(estimate, samples))
    expect.rate(hits, 4000, 0.95)


def test_few_seeds_are_said() -> None:
    assert "no likely range" in estimate([1.0]).text() and np.isnan(estimate([1.0]).low)
    assert "two seeds" in estimate([1.0, 2.0]).text() and estimate([1.0, 2.0]).few
    assert not estimate([1.0, 2.0, 3.0]).few
    assert estimate([np.nan, np.inf]).text() == "no value"


def paired_rows(rng: np.random.Generator, seeds: int, conditions: int, effect: float) -> pd.DataFrame:
    """Two algorithms; seeds and conditions move the loss far more than the algorithm does."""
    rows = []
    for seed in range(seeds):
        of_seed = rng.normal(0, 5)
        for c in range(conditions):
            common = of_seed + rng.normal(0, 5)
            for name, shift in (("a", 0.0), ("b", effect)):
                value = common + shift + rng.normal(0, 0.1)
                rows.append({"group": name, "seed": seed, "axis.x": c / 7, "m": value})
    return pd.DataFrame(rows).sample(frac=1, random_state=1)


def test_pairing_sees_a_small_difference_under_large_common_scatter() -> None:
    rows = paired_rows(np.random.default_rng(1), seeds=5, conditions=4, effect=0.5)
    (c,) = compare(rows, "m", "group", ["axis.x"])
    assert (c.first, c.second, c.units, c.pairs, c.difference.n) == ("a", "b", "seeds", 20, 5)
    assert c.difference.high < 0 and c.share_better == 1.0 and c.p < 0.01 and c.effect < -2
    unpaired = stats.ttest_ind(rows.m[rows.group == "a"], rows.m[rows.group == "b"]).pvalue
    assert unpaired > 0.05  # what would have been said without pairing


def test_the_independent_unit_is_the_seed() -> None:
    """Six conditions of three seeds are three units: conditions share their seed's own difference."""
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(100):
        rows = paired_rows(rng, seeds=3, conditions=6, effect=0.0)
        own = rows["seed"].map(dict(enumerate(rng.normal(0, 1, 3))))
        rows["m"] += np.where(rows["group"] == "b", own, 0.0)
        (c,) = compare(rows, "m", "group", ["axis.x"])
        wrong += c.p < 0.05
    expect.rate(wrong, 100, 0.05)


def test_one_seed_compares_over_conditions_and_says_so() -> None:
    rows = paired_rows(np.random.default_rng(3), seeds=1, conditions=8, effect=1.0)
    (c,) = compare(rows, "m", "group", ["axis.x"])
    assert c.units == "conditions" and c.difference.n == 8 and c.difference.high < 0


def test_runs_that_share_nothing_are_not_compared() -> None:
    rows = paired_rows(np.random.default_rng(4), seeds=2, conditions=2, effect=1.0)
    rows.loc[rows.group == "b", "axis.x"] += 0.5
    assert compare(rows, "m", "group", ["axis.x"]) == ()


def test_conditions_that_differ_by_rounding_are_the_same() -> None:
    rows = paired_rows(np.random.default_rng(4), seeds=2, conditions=3, effect=1.0)
    rows.loc[rows.group == "b", "axis.x"] *= 1 + 1e-12
    (c,) = compare(rows, "m", "group", ["axis.x"])
    assert c.pairs == 6


def test_an_axis_on_which_some_runs_have_no_place_costs_no_pair() -> None:
    """As the number of states of a device whose step is configured, in a study of several flaws."""
    rows = paired_rows(np.random.default_rng(4), seeds=2, conditions=3, effect=1.0)
    rows["axis.y"] = rows["axis.x"].where(rows["axis.x"] > 0.2)
    (c,) = compare(rows, "m", "group", ["axis.x", "axis.y"])
    assert c.pairs == 6


def test_a_tie_is_no_win() -> None:
    values = [(0, "a", 1.0), (0, "b", 1.0), (1, "a", 1.0), (1, "b", 2.0)]
    rows = pd.DataFrame(values, columns=["seed", "group", "m"])
    (c,) = compare(rows, "m", "group", [])
    assert c.share_better == 0.5


def test_several_comparisons_are_adjusted() -> None:
    rows = paired_rows(np.random.default_rng(5), seeds=6, conditions=1, effect=0.1)
    third = rows[rows.group == "a"].assign(group="c")
    third["m"] += np.random.default_rng(6).normal(0.05, 0.1, len(third))
    every = pd.concat([rows, third])
    both = compare(every, "m", "group", ["axis.x"])
    (alone,) = compare(rows, "m", "group", ["axis.x"])
    assert alone.difference == next(c for c in both if (c.first, c.second) == ("a", "b")).difference
    wide = every.pivot(index="seed", columns="group", values="m")
    single = [stats.ttest_rel(wide[c.first], wide[c.second]).pvalue for c in both]
    order = np.argsort(
        single
    )  # Holm: the smallest counts three times, the next twice; never below the one before
    adjusted = np.maximum.accumulate(np.sort(single) * [3, 2, 1])
    assert [both[i].p for i in order] == pytest.approx(np.minimum(adjusted, 1.0))


def test_effect_sizes_are_corrected_for_small_samples() -> None:
    """Hedges: the expected value of ``mean / std`` exceeds the truth by ``1 / J``, J of gamma functions."""
    n = 6
    rows = paired_rows(np.random.default_rng(8), seeds=n, conditions=1, effect=0.1)
    (c,) = compare(rows, "m", "group", ["axis.x"])
    half = (n - 1) / 2
    exact = special.gamma(half) / (np.sqrt(half) * special.gamma(half - 0.5))
    assert c.effect == pytest.approx(c.difference.mean / c.difference.std * exact, rel=5e-3)


def test_replicates_tell_noise_and_shared_seed_effect_apart() -> None:
    rng = np.random.default_rng(7)
    n, s = 200, 40
    values = rng.normal(0, 0.3, (n, 1)) + rng.normal(0, 0.2, (1, s)) + rng.normal(0, 0.1, (n, s))
    told = replication(values, level=1.2)
    assert told.crossed and told.seeds == s
    # chi-square scatter: 2 / degrees of freedom, six standard deviations
    assert told.noise_variance == pytest.approx(0.01, rel=6 * np.sqrt(2 / (n * s)))
    assert told.shared_std**2 * s == pytest.approx(0.04, rel=6 * np.sqrt(2 / (s - 1)))


def test_an_effect_of_seeds_that_grows_with_the_loss_is_told_at_the_level() -> None:
    """Most trials lie where little is lost, and so little differs; what counts is how far they do where the line is."""
    rng = np.random.default_rng(7)
    n, s, level = 200, 40, 1.2
    loss = 4 * rng.random((n, 1)) ** 4
    values = loss + rng.normal(0, 0.2, (1, s)) * (0.2 + loss) + rng.normal(0, 0.1, (n, s))
    told = replication(values, level)
    assert told.noise_variance == pytest.approx(0.01, rel=6 * np.sqrt(2 / (n * s)))
    at_the_level = (0.2 * (0.2 + level)) ** 2
    assert told.shared_std**2 * s == pytest.approx(at_the_level, rel=6 * np.sqrt(2 / (s - 1)))
    below = replication(
        values[loss[:, 0] < 0.5], level
    )  # where the level was never reached: at the largest loss seen
    assert told.shared_std > below.shared_std > 0


def test_single_seeds_tell_nothing_about_seeds() -> None:
    told = replication(np.zeros((9, 1)), level=1.2)
    assert np.isnan(told.noise_variance) and told.shared_std == 0 and not told.crossed
