"""Statistical expectations: tolerances come from theory and one accepted false-alarm rate, never from taste."""

from math import ceil, sqrt

import numpy as np
from scipy import stats
from torch import Tensor

FALSE_ALARM = 1e-6  # chance that one correct assertion fails under a new seed
POWER = 0.999  # chance that a deviation of `detects` is seen


def _numpy(samples: "Tensor | np.ndarray") -> np.ndarray:
    array = (
        samples.detach().cpu().double().numpy() if isinstance(samples, Tensor) else np.asarray(samples, float)
    )
    return array.ravel()


def mean(samples: "Tensor | np.ndarray", expected: float, *, std: float, detects: float) -> None:
    """The sample mean equals `expected`; `std` is one sample's, from theory; `detects` is what must not pass."""
    values, z = _numpy(samples), stats.norm.isf(FALSE_ALARM / 2)
    needed = ceil(((z + stats.norm.isf(1 - POWER)) * std / detects) ** 2)
    assert values.size >= needed, f"{values.size} samples cannot show {detects:g}; {needed} can"
    off = abs(values.mean() - expected) / (std / sqrt(values.size))
    assert off < z, f"{off:.1f} standard errors from {expected:g} (mean {values.mean():g}), {z:.1f} allowed"


def variance(
    samples: "Tensor | np.ndarray", expected: float, *, detects: float, kurtosis: float = 3.0
) -> None:
    """The sample variance equals `expected`; `detects` is the relative deviation of the variance that must not pass.

    For a normal sample (kurtosis 3) the relative standard error is sqrt(2/n); in general sqrt((kurtosis - 1)/n).
    """
    values, z = _numpy(samples), stats.norm.isf(FALSE_ALARM / 2)
    error = sqrt((kurtosis - 1) / values.size)
    assert (z + stats.norm.isf(1 - POWER)) * error <= detects, (
        f"{values.size} samples cannot show {detects:.1%}"
    )
    off = abs(values.var(ddof=1) / expected - 1) / error
    assert off < z, (
        f"variance {values.var(ddof=1):g}, expected {expected:g}: {off:.1f} errors, {z:.1f} allowed"
    )


def rate(hits: int, trials: int, expected: float) -> None:
    """`hits` of `trials` agree with probability `expected` (exact binomial test)."""
    p = stats.binomtest(hits, trials, expected).pvalue
    assert p > FALSE_ALARM, f"{hits} of {trials}, expected {expected:.4%}: p = {p:.1e}"


def same_mean(first: "Tensor | np.ndarray", second: "Tensor | np.ndarray", *, slack: float = 0.0) -> None:
    """Two samples share their mean up to `slack` (a stated model error), by Welch's z test."""
    a, b = _numpy(first), _numpy(second)
    error = sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size)
    off, z = abs(a.mean() - b.mean()), stats.norm.isf(FALSE_ALARM / 2)
    assert off <= slack + z * error, (
        f"means {a.mean():g} and {b.mean():g} differ by {off:g} > {slack + z * error:g}"
    )


def same_std(first: "Tensor | np.ndarray", second: "Tensor | np.ndarray", *, slack: float = 0.0) -> None:
    """Two samples share their standard deviation up to the relative `slack` (a stated model error)."""
    a, b = _numpy(first), _numpy(second)
    error = sqrt(sum((stats.kurtosis(v, fisher=False) - 1) / (4 * v.size) for v in (a, b)))
    off, z = abs(a.std(ddof=1) / b.std(ddof=1) - 1), stats.norm.isf(FALSE_ALARM / 2)
    assert off <= slack + z * error, (
        f"stds {a.std():g} and {b.std():g} differ by {off:.2%} > {slack + z * error:.2%}"
    )


def distribution(samples: "Tensor | np.ndarray", cdf: object) -> None:
    """The samples follow `cdf` (Kolmogorov-Smirnov)."""
    p = stats.kstest(_numpy(samples), cdf).pvalue
    assert p > FALSE_ALARM, f"Kolmogorov-Smirnov p = {p:.1e}"


def same_distribution(first: "Tensor | np.ndarray", second: "Tensor | np.ndarray") -> None:
    """Two samples share their distribution (two-sample Kolmogorov-Smirnov)."""
    p = stats.ks_2samp(_numpy(first), _numpy(second)).pvalue
    assert p > FALSE_ALARM, f"two-sample Kolmogorov-Smirnov p = {p:.1e}"
