"""The Gaussian process against closed forms, against itself, and against data drawn from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crossweep.errors import ShapeError
from crossweep.gp import (
    JITTER,
    LOG_LIMITS,
    MEAN_VARIANCE,
    SLOPE_VARIANCE,
    GaussianProcess,
    Hyper,
    _log_posterior,
    _maximise,
    matern52,
    prior_of_logs,
    trend,
)

FALSE_ALARM = 1e-6


def drawn_from_prior(seed: int, n: int = 40, noise: float = 0.01) -> GaussianProcess:
    """A process with known hyper-parameters and observations drawn from exactly that process."""
    rng = np.random.default_rng(seed)
    hyper = Hyper(length_scale=np.array([0.4, 0.8]), amplitude=1.0, noise=noise)
    x = rng.random((n, 2))
    covariance = matern52(x, x, hyper) + trend(x, x) + (noise + JITTER) * np.eye(n)
    y = np.linalg.cholesky(covariance) @ rng.standard_normal(n)
    return GaussianProcess(x=x, y=y, noise_variance=np.zeros(n), hyper=hyper, shift=0.0, scale=1.0)


def test_gradient_is_the_derivative_of_the_posterior() -> None:
    gp = drawn_from_prior(0)
    posterior = _log_posterior(gp.x, gp.y, np.full(len(gp.x), 0.02))
    logs, step = np.array([-0.5, 0.1, 0.3, -3.0]), 1e-5
    numeric = [
        (posterior(logs + step * e)[0] - posterior(logs - step * e)[0]) / (2 * step) for e in np.eye(4)
    ]
    np.testing.assert_allclose(posterior(logs)[1], numeric, rtol=1e-6)


def test_one_observation_gives_the_textbook_posterior() -> None:
    hyper = Hyper(length_scale=np.array([1.0]), amplitude=2.0, noise=0.5)
    gp = GaussianProcess(
        x=np.array([[0.0]]), y=np.array([3.0]), noise_variance=np.zeros(1), hyper=hyper, shift=0.0, scale=1.0
    )
    mean, std = gp.predict([[0.0], [0.5]])
    s = np.sqrt(5.0) * 0.5
    # the trend's slope sees the places 0 and 1/2 at distances -1/2 and 0 from the middle
    prior = np.array([2.0 + SLOPE_VARIANCE / 4, 2.0 * (1 + s + s**2 / 3) * np.exp(-s)]) + MEAN_VARIANCE
    total = 2.0 + MEAN_VARIANCE + SLOPE_VARIANCE / 4 + 0.5
    own = 2.0 + MEAN_VARIANCE + SLOPE_VARIANCE * np.array([0.25, 0.0])
    np.testing.assert_allclose(mean, prior / total * 3.0, rtol=1e-6)
    np.testing.assert_allclose(std**2, own - prior**2 / total, rtol=1e-6)


def test_leave_one_out_equals_refitting_without_the_point() -> None:
    gp = drawn_from_prior(1, n=12)
    mean, std = gp.loo()
    for i in range(12):
        keep = np.arange(12) != i
        without = GaussianProcess(
            x=gp.x[keep], y=gp.y[keep], noise_variance=np.zeros(11), hyper=gp.hyper, shift=0.0, scale=1.0
        )
        at, latent = without.predict(gp.x[i : i + 1])
        np.testing.assert_allclose(mean[i], at[0], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(std[i] ** 2, latent[0] ** 2 + gp.hyper.noise, rtol=1e-5)


def test_conditioning_equals_having_all_the_data() -> None:
    gp = drawn_from_prior(2, n=20)
    part = GaussianProcess(
        x=gp.x[:15], y=gp.y[:15], noise_variance=np.zeros(15), hyper=gp.hyper, shift=0.0, scale=1.0
    ).condition(gp.x[15:], gp.y[15:])
    at = np.random.default_rng(0).random((30, 2))
    for one, other in zip(part.predict(at), gp.predict(at), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_known_noise_counts_as_noise() -> None:
    """Ten repeats averaged (variance v / 10) tell the same as the ten themselves (variance v each)."""
    hyper = Hyper(length_scale=np.array([0.5]), amplitude=1.0, noise=1e-9)
    y = np.random.default_rng(3).standard_normal(10)

    def process(x: np.ndarray, y: np.ndarray, known: np.ndarray) -> GaussianProcess:
        return GaussianProcess(x=x, y=y, noise_variance=known, hyper=hyper, shift=0.0, scale=1.0)

    repeats = process(np.full((10, 1), 0.3), y, np.full(10, 0.4))
    averaged = process(np.array([[0.3]]), np.array([y.mean()]), np.array([0.04]))
    at = np.linspace(0, 1, 7)[:, None]
    for one, other in zip(repeats.predict(at), averaged.predict(at), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_joint_draws_have_the_predicted_mean_and_variance() -> None:
    gp = drawn_from_prior(4)
    at = np.random.default_rng(1).random((25, 2))
    mean, std = gp.predict(at)
    draws = gp.sample(at, 4000, np.random.default_rng(2))
    z = stats.norm.isf(FALSE_ALARM / 2 / 25)
    assert np.abs(draws.mean(0) - mean).max() < z * (std / np.sqrt(4000)).max()
    chi2 = (draws.var(0, ddof=1) / std**2) * 3999
    limits = stats.chi2.ppf([FALSE_ALARM / 50, 1 - FALSE_ALARM / 50], 3999)
    assert chi2.min() > limits[0] and chi2.max() < limits[1]


def test_draws_are_joint_and_smooth() -> None:
    """Two points a thousandth apart agree in every draw: a pointwise sampler would not."""
    gp = drawn_from_prior(5, n=5)
    draws = gp.sample([[0.9, 0.9], [0.9005, 0.9]], 200, np.random.default_rng(0))
    assert np.abs(draws[:, 0] - draws[:, 1]).max() < 0.02 < draws.std(0).min()


def test_paths_agree_with_exact_draws() -> None:
    gp = drawn_from_prior(9)
    at = np.random.default_rng(1).random((20, 2))
    mean, std = gp.predict(at)
    rng = np.random.default_rng(2)
    draws = np.concatenate([gp.paths(8, rng, features=256)(at) for _ in range(250)])
    z = stats.norm.isf(FALSE_ALARM / 2 / 20)
    # the eight paths of one call share their waves, hence fewer independent draws than rows: 250 at least
    assert (np.abs(draws.mean(0) - mean) / (std / np.sqrt(250))).max() < z
    np.testing.assert_allclose(draws.std(0), std, rtol=0.15)


def test_fit_finds_the_noise_and_what_matters() -> None:
    rng = np.random.default_rng(6)
    x = rng.random((150, 2))
    gp = GaussianProcess.fit(x, 10 * np.sin(4 * x[:, 0]) + 0.5 * rng.standard_normal(150))
    # the scatter of a standard deviation estimated from ~140 degrees of freedom is 6 %; 5 sigma
    assert gp.noise_std == pytest.approx(0.5, rel=0.3)
    assert gp.hyper.length_scale[1] > 3 * gp.hyper.length_scale[0]


def test_hyper_draws_are_calibrated() -> None:
    """Worlds drawn from the very priors, 10 noisy points each: the 90 % interval for an eleventh observation
    covers in 90 % of 100.

    Bayes' rule makes this exact, so it tests sampler, weights and prediction at once; a plug-in fit covers
    about 75 %.
    """
    rng, hits, worlds = np.random.default_rng(7), 0, 100
    medians, sigmas = prior_of_logs(1)
    for _ in range(worlds):
        logs = np.log(medians) + sigmas * rng.standard_normal(3)
        hyper = Hyper.from_logs(np.clip(logs, *LOG_LIMITS))
        x = rng.random((11, 1))
        covariance = matern52(x, x, hyper) + trend(x, x) + (hyper.noise + JITTER) * np.eye(11)
        y = np.linalg.cholesky(covariance) @ rng.standard_normal(11)
        best = _maximise(_log_posterior(x[:10], y[:10], np.zeros(10)), 1, 0, 1, None)
        gp = GaussianProcess(
            x=x[:10],
            y=y[:10],
            noise_variance=np.zeros(10),
            hyper=Hyper.from_logs(best),
            shift=0.0,
            scale=1.0,
        )
        draws = [
            p.sample(x[10:], 8, rng) + p.noise_std * rng.standard_normal((8, 1))
            for p in gp.hyper_draws(50, rng, proposals=200)
        ]
        low, high = np.quantile(np.concatenate(draws), [0.05, 0.95])
        hits += int(low < y[10] < high)
    assert stats.binomtest(hits, worlds, 0.9).pvalue > 1e-4, f"{hits} of {worlds}"


def test_same_seed_same_fit() -> None:
    gp = drawn_from_prior(8)
    one, other = (GaussianProcess.fit(gp.x, gp.y, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.hyper.logs(), other.hyper.logs())
    draws = [
        [p.hyper.noise for p in one.hyper_draws(5, np.random.default_rng(0), proposals=50)] for _ in range(2)
    ]
    assert draws[0] == draws[1]


@pytest.mark.parametrize("y", [[1.0], [2.0, 2.0, 2.0]])
def test_degenerate_data_is_fitted_all_the_same(y: list[float]) -> None:
    x = np.linspace(0, 1, len(y))[:, None]
    mean, std = GaussianProcess.fit(x, y).predict(x)
    assert np.allclose(mean, y, atol=0.05) and np.isfinite(std).all()


@pytest.mark.parametrize(
    ("x", "y"),
    [(np.zeros((3, 2)), np.zeros(2)), (np.zeros(3), np.zeros(3)), (np.zeros((0, 1)), np.zeros(0))],
)
def test_wrong_shapes_are_named(x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="must hold, got"):
        GaussianProcess.fit(x, y)


def test_not_finite_is_refused() -> None:
    with pytest.raises(ShapeError, match="finite"):
        GaussianProcess.fit([[0.0], [1.0]], [0.0, np.nan])
