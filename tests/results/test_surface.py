"""Surfaces, contours, tolerances and importances against worlds whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import brentq

from crossweep.axis import Axis
from crossweep.results.contour import Contour, contour, farthest
from crossweep.results.importance import importance
from crossweep.results.link import KINDS, Link, candidates
from crossweep.results.points import Points
from crossweep.results.surface import LEAST_Q2, Refused, Surface, fit
from crossweep.results.tolerance import Tolerance, first_crossing, ideals, joint, tolerances
from tests import expect
from tests.results.batches import batched
from tests.results.worlds import BUDGET, SPREAD, Truth, bowl, cliff, observed, random_surface, steep

ORIGIN = np.zeros(2)


def fitted(truth: Truth, seed: int = 0, **options: object) -> Surface:
    surface = fit(observed(truth, np.random.default_rng(seed), **options), BUDGET, seed=seed)
    assert isinstance(surface, Surface)
    return surface


@pytest.mark.parametrize("kind", KINDS)
def test_links_are_monotone_and_invert(kind: str) -> None:
    link = Link(kind=kind, floor=-0.2, size=3.0)
    g = np.linspace(-6, 6, 49)
    loss = link.loss(g)
    assert (np.diff(loss) > 0).all()
    np.testing.assert_allclose(link.inverse(loss), g, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(link.slope(g), np.gradient(link.loss(g), g, edge_order=2), rtol=0.1, atol=0.02)


def test_no_link_is_tried_whose_floor_the_level_does_not_clear() -> None:
    assert candidates(np.linspace(2.0, 5.0, 20), level=1.2) == [Link()]
    assert candidates(np.linspace(0.0, 1.0, 20), level=1.2) == [Link()]
    assert len(candidates(np.linspace(0.0, 5.0, 20), level=1.2)) > 1


def test_a_cliff_is_found_to_be_a_cliff() -> None:
    surface = fitted(steep, n=64)
    assert surface.link.kind == "logistic" and surface.usable
    at = np.random.default_rng(1).random((200, 2))
    near = np.abs(steep(at) - BUDGET) < 1.0
    assert np.median(np.abs(surface.loss(at)[near] - steep(at)[near])) < 0.3
    assert surface.quality.coverage > 0.8 and surface.quality.side > 0.9


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (observed(cliff, np.random.default_rng(0), n=8), "8 finished points; a surface over 2 axes needs 10"),
        (observed(lambda u: 0 * u[:, 0] + 3.0, np.random.default_rng(0), noise=0.0), "same value"),
    ],
)
def test_refuses_what_the_data_cannot_support(points: object, reason: str) -> None:
    refused = fit(points, BUDGET)
    assert isinstance(refused, Refused) and reason in refused.reason


def test_refuses_three_values_on_a_line() -> None:
    points = observed(cliff, np.random.default_rng(0), n=16)
    flat = type(points)(
        **{**points.__dict__, "unit": np.column_stack([points.unit[:, 0], np.round(points.unit[:, 1])])}
    )
    refused = fit(flat, BUDGET)
    assert isinstance(refused, Refused) and "three different values along SP variability" in refused.reason


def test_noise_without_a_surface_is_not_drawn() -> None:
    surface = fitted(lambda u: 0 * u[:, 0] + BUDGET, n=32, noise=2.0)
    assert not surface.usable and "scatter too much for a surface" in surface.problems[0]


@pytest.mark.parametrize("middle", [0.2, BUDGET, 9.0])
def test_what_does_not_predict_is_not_used_on_whichever_side_of_the_budget(middle: float) -> None:
    """One rule for Q²: a surface that explains nothing answers nothing, be everything within or beyond the budget."""
    surface = fitted(lambda u: 0 * u[:, 0] + middle, n=16, noise=0.1)
    assert surface.quality.q2 < LEAST_Q2 and not surface.usable


def test_an_effect_below_the_budget_is_an_answer() -> None:
    surface = fitted(lambda u: 0.1 + 0.5 * u[:, 0], n=16, noise=0.03)
    assert surface.usable
    t = tolerances(surface)[0]
    assert t.status == "beyond" and t.safe == np.inf
    assert t.text.startswith(f"> {t.axis.text(t.end)}") and "not crossed" in t.text
    c = contour(surface, (0, 1), ORIGIN, grid=17)
    assert not c.drawable and c.crossing < 0.05 and c.safe_share > 0.99


def test_an_interval_over_the_whole_range_determines_nothing() -> None:
    axis = Axis(name="skew", low=0.0, high=0.5, unit="w_max")
    common = {"axis": axis, "upward": True, "crosses": 0.6, "starts_above": 0.1, "start": 0.0, "others": {}}
    for low, high in ((-np.inf, np.inf), (0.0, np.inf), (-np.inf, 0.5)):
        t = Tolerance(value=0.2, safe=0.1, low=low, high=high, samples=np.zeros(1), **common)
        assert t.status == "undetermined" and t.short == t.requirement == t.specify == "not determined"
        assert t.text.startswith("not determined: the likely range")
    told = Tolerance(value=0.2, safe=0.1, low=0.05, high=np.inf, samples=np.zeros(1), **common)
    assert told.status == "crossed" and told.specify == "specify at most 0.1 w_max"


def test_above_the_budget_from_the_start() -> None:
    surface = fitted(lambda u: 5 + 3 * u[:, 0], n=32, noise=0.2)
    t = tolerances(surface)[0]
    assert t.status == "above" and t.safe == -np.inf and t.text.startswith("< 0 w_max")
    assert "not met" in t.requirement and t.starts_above > 0.99


def test_an_axis_may_hurt_downwards() -> None:
    """Few states hurt: the specification is a smallest value, and its strict end is the larger one."""
    states = Axis(name="states", low=10.0, high=1000.0, scale="log", label="number of states")
    truth = lambda u: 8 * (1 - u[:, 0]) ** 2 + 0 * u[:, 1]  # noqa: E731
    surface = fitted(truth, n=32, noise=0.1, axes=(states, SPREAD))
    (t,) = [t for t in tolerances(surface) if t.axis is states]
    exact = float(states.from_unit(1 - np.sqrt(BUDGET / 8)))
    assert not t.upward and t.start == pytest.approx(1000.0) and t.high < exact < t.low
    assert t.safe > t.value > 10 and t.requirement.startswith("at least")


def test_an_axis_through_zero_has_two_tolerances() -> None:
    offset = Axis(name="offset", low=-1.0, high=1.0)
    truth = lambda u: 10 * (u[:, 0] - 0.5) ** 2 + 0 * u[:, 1]  # noqa: E731
    surface = fitted(truth, n=32, noise=0.1, axes=(offset, SPREAD))
    up, down = sorted((t for t in tolerances(surface) if t.axis is offset), key=lambda t: not t.upward)
    exact = 2 * np.sqrt(BUDGET / 10)
    assert up.low < exact < up.high and down.high < -exact < down.low


def test_ideal_and_nominal_come_from_the_axis_where_it_says() -> None:
    axis = Axis(name="skew", low=0.0, high=1.0, ideal=0.25, nominal=0.5)
    surface = fitted(bowl, n=32, axes=(axis, SPREAD))
    assert ideals(surface) == (0.25, 0.0)
    spread = next(t for t in tolerances(surface) if t.axis is SPREAD)
    assert spread.others == {"skew": 0.5}
    assert {t.upward for t in tolerances(surface) if t.axis is axis} == {True, False}


def test_first_crossing_is_interpolated_and_censored() -> None:
    draws = np.array([[-1.0, -1.0, 3.0], [-1.0, -2.0, -3.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0]])
    assert first_crossing(draws).tolist() == [1.25, np.inf, -np.inf, 0.5]


def test_farthest_reads_the_ratio_on_the_zero_line() -> None:
    x = np.linspace(-1, 1, 21)
    plane = np.tile(x - 0.05, (21, 1))
    assert farthest(plane, plane / 0.5) == pytest.approx(0.0, abs=1e-12)
    assert farthest(plane, (plane + 0.2) / 0.1) == pytest.approx(2.0)
    assert farthest(plane + 5, plane) == 0.0


def test_a_place_that_hardly_a_draw_doubts_is_decided() -> None:
    """The line lies at one end of the map; at the other all draws agree, however wide they scatter there."""
    line = np.linspace(0.0, 1.0, 11)
    middle = np.tile(np.where(line < 0.45, -3.0, 10 * line - 7), (11, 1))
    spread = np.tile(np.where(line < 0.45, 2.0, 0.5), (11, 1))
    agreeing = middle + spread * np.linspace(-1.4, 1.4, 101)[:, None, None]
    c = Contour(
        pair=(0, 1), grid=line, mean=middle, std=spread, loss=middle, factor=2.0, within=(agreeing < 0).mean(axis=0),
        crossing=1.0, seen=np.ones((11, 11), bool), draws=agreeing,
    )  # fmt: skip
    assert (np.abs(c.mean) <= c.factor * c.std)[:, :5].all()  # by their scatter alone nothing would be
    assert c.band[5].tolist() == [False] * 6 + [True] * 3 + [False] * 2
    assert c.holds(middle) and c.holds(middle + 0.4)
    assert not c.holds(
        np.where(np.tile(line, (11, 1)) < 0.15, 1.0, middle)
    )  # a second line, where nobody doubts
    assert not c.holds(middle + 2.1)


def test_joint_curve_follows_the_truth() -> None:
    surface = fitted(bowl, n=64, noise=0.15)
    c = contour(surface, (0, 1), ORIGIN)
    curve = joint(surface, c, ideals(surface))
    for i in (2, 6, 10):
        u = c.grid[i]
        exact = SPREAD.from_unit(brentq(lambda v, u=u: bowl(np.array([[u, v]]))[0] - BUDGET, 0, 1))
        assert curve.low[i] < exact < curve.high[i]
    assert np.isneginf(curve.value[-1])  # at the far end of the first axis nothing of the second is tolerated


def test_variance_shares_match_a_known_sum() -> None:
    """y = 6 a + 2 b + 12 (a - 1/2)(b - 1/2): variances 3, 1/3 and 1 of 13/3."""
    truth = lambda u: 6 * u[:, 0] + 2 * u[:, 1] + 12 * (u[:, 0] - 0.5) * (u[:, 1] - 0.5)  # noqa: E731
    shares = importance(fitted(truth, n=64, noise=0.05))
    for share, exact in zip([*shares.first, shares.pairs[0, 1]], np.array([9, 1, 3]) / 13, strict=True):
        assert share.value == pytest.approx(exact, abs=0.03)
    assert shares.total[0].value == pytest.approx(12 / 13, abs=0.03) and shares.order == (0, 1)


def test_an_axis_without_effect_costs_nothing() -> None:
    shares = importance(fitted(lambda u: 8 * u[:, 0] ** 2, n=64, noise=0.1))
    assert shares.total[1].value < 0.03 and shares.first[0].value > 0.95


def test_shared_seeds_widen_the_tolerance() -> None:
    """Seeds have an effect of their own, the same at every point: taking it for truth is too sure."""
    one = fitted(bowl, n=64, seeds=3, noise=0.2, shared=0.0)
    other = fitted(bowl, n=64, seeds=3, noise=0.2, shared=0.8)
    widths = [float(np.ptp([tolerances(s)[0].low, tolerances(s)[0].high])) for s in (one, other)]
    assert other.replication.shared_std > 0.1 > one.replication.shared_std
    assert widths[1] > 2 * widths[0]


def test_many_points_are_thinned_without_looking_at_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossweep.results.surface.MAX_FITTED", 96)
    monkeypatch.setattr("crossweep.results.surface.SCREENED", 48)
    points = observed(bowl, np.random.default_rng(0), n=1024, noise=1.0)
    surface = fit(points, BUDGET)
    assert isinstance(surface, Surface) and surface.points.n == 96
    residual = surface.points.y - bowl(surface.points.unit)
    expect.mean(residual, 0.0, std=1.0, detects=0.9)


def test_same_seed_same_answer() -> None:
    texts = [[t.text for t in tolerances(fitted(cliff))] for _ in range(2)]
    assert texts[0] == texts[1]


def exact_tolerance(truth: Truth, t: Tolerance, axes: tuple[Axis, ...]) -> float:
    """The true first crossing, on the scale of `Tolerance.samples`."""
    line = np.linspace(float(t.axis.to_unit(t.start)), 1.0 if t.upward else 0.0, 513)
    unit = np.column_stack([line if a is t.axis else np.full(513, a.to_unit(t.others[a.name])) for a in axes])
    step = float(first_crossing((truth(unit) - BUDGET)[None])[0])
    if not np.isfinite(step):
        return step
    return (1 if t.upward else -1) * float(t.axis.from_unit(np.interp(step, np.arange(513), line)))


def covered(
    world: Truth | None, repeats: int, design: Callable[..., Points] = observed, **options: object
) -> tuple[int, int, int, int, int]:
    """How often band and intervals held the truth; None: a new random world each time."""
    grid = np.linspace(0, 1, 25)
    unit = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    contours = inside = asked = held = kept = 0
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        truth = random_surface(rng) if world is None else world
        surface = fit(design(truth, rng, **options), BUDGET, seed=repeat)
        if not isinstance(surface, Surface) or not surface.usable:
            continue
        exact = (truth(unit) - BUDGET).reshape(25, 25)
        if (exact > 0).any() and (exact < 0).any():
            c = contour(surface, (0, 1), ORIGIN, grid=25)
            contours += 1
            inside += c.holds(exact)
        for t in tolerances(surface, each=32):
            sign = 1.0 if t.upward else -1.0
            own = [v if not np.isfinite(v) else sign * v for v in (t.low, t.high, t.safe)]
            truth_here = exact_tolerance(truth, t, surface.axes)
            asked += 1
            held += own[0] <= truth_here <= own[1]
            kept += own[2] <= truth_here
    return contours, inside, asked, held, kept


@pytest.mark.slow
def test_bands_and_intervals_cover_random_worlds_as_stated() -> None:
    """200 surfaces drawn from a process: the simultaneous 95 % band holds the whole contour in about 95 %.

    Fitted hyper-parameters, links and a few hundred draws make it approximate: 3 % off are allowed on top of
    the scatter.
    """
    contours, inside, asked, held, kept = covered(None, 200, n=32)
    for hits, trials in ((inside, contours), (held, asked), (kept, asked)):
        scatter = 3 * np.sqrt(0.95 * 0.05 / trials)
        assert abs(hits / trials - 0.95) < 0.03 + scatter, f"{hits} of {trials}"


@pytest.mark.slow
def test_bands_and_intervals_cover_where_points_and_seeds_come_in_batches() -> None:
    """As above for 200 studies of the level set: points crowd at the boundary, and all of them share their seeds."""
    contours, inside, asked, held, kept = covered(None, 200, batched)
    for hits, trials in ((inside, contours), (held, asked), (kept, asked)):
        scatter = 3 * np.sqrt(0.95 * 0.05 / trials)
        assert abs(hits / trials - 0.95) < 0.03 + scatter, f"{hits} of {trials}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "options"),
    [
        (cliff, {"n": 32}),
        (steep, {"n": 32}),
        (bowl, {"n": 16}),
        (cliff, {"n": 32, "seeds": 3, "shared": 0.3}),
    ],
)
def test_bands_and_intervals_cover_smooth_cliffs(world: Truth, options: dict[str, object]) -> None:
    """Fixed shapes, 50 noises each: smoother than the process expects, so at least 95 %, up to scatter."""
    contours, inside, asked, held, kept = covered(world, 50, **options)
    assert contours > 40
    for hits, trials in ((inside, contours), (held, asked), (kept, asked)):
        assert hits / trials > 0.95 - 3 * np.sqrt(0.95 * 0.05 / contours), f"{hits} of {trials}"
