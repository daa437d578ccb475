"""Points where a response crosses a level: the straddle rule on a small Gaussian process.

    a(x) = max_h  kappa sigma(x) - |mu(x) - h|

is large where the model is unsure on which side of the level h the response lies. An optimiser flees the
boundary that a robustness map is about; this sampler stays at it.

Source: Bryan et al., Active learning for identifying function threshold boundaries, NeurIPS 2005 (kappa =
1.96). The randomised form draws kappa: Inatsu et al., 2024 (kappa^2 chi-squared with two degrees of freedom).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy import spatial
from scipy.stats import qmc

from crossweep.errors import ConfigError
from crossweep.gp import GaussianProcess
from crossweep.sweep.samplers.encoding import Encoding

if TYPE_CHECKING:
    from crossweep.sweep.settings import Settings
    from crossweep.sweep.space import Space

Array = NDArray[np.float64]
KAPPA = 1.96
CANDIDATES = 1024  # Sobol points at which the rule is evaluated; the best are refined
REFINED, ROUNDS, NEIGHBOURS = 8, 3, 32
MOST_POINTS = 600  # beyond this the model takes the points nearest a level: its cost is cubic
BLIND = 2  # a batch is at most one part in so many of what is known
APART = 0.02  # edges of the cube; all trials of a study share their seeds, so the same point again would tell nothing
PRIOR_WEIGHT = 4.0  # degrees of freedom that the pooled variance lends to a single point's


@dataclass(frozen=True)
class Boundary:
    """What is known about the map so far, as shares of the area of the search space."""

    ambiguous: float
    above: float
    points: int


class LevelSetSampler(BaseSampler):
    """Trials where the model cannot tell on which side of a level they lie.

    Args:
        space: the axes; conditional ones are drawn at random where they exist.
        settings: the study.
        metric: objective or returned metric to map.
        levels: the levels [metric], one or several.
        n_startup: space-filling points first; null is 2 per axis and 4 more.
        acquisition: ``straddle``, or ``randomised`` (another kappa for every trial).
        explore_every: every so many trials one space-filling point guards against a model that is wrong; 0
            never.
        stop_below: the study is done when the ambiguous share of the area is below this; null never.
        min_trials: but not before so many finished trials; null is 10 per axis and 10 more.
        warp: ``none``, or ``asinh``: values far from the levels are compressed in units of ``width``
            [metric], so that plateaus of failed training do not dominate the model.
        width: see ``warp``.
        seed: of space-filling points and candidates.
    """

    def __init__(
        self,
        space: "Space",
        settings: "Settings",
        metric: str,
        levels: Sequence[float] | float,
        n_startup: int | None = None,
        acquisition: str = "straddle",
        explore_every: int = 16,
        stop_below: float | None = 0.01,
        min_trials: int | None = None,
        warp: str = "none",
        width: float = 1.0,
        seed: int | None = 0,
    ) -> None:
        self._encoding = Encoding(space)
        self.levels = tuple(float(h) for h in ([levels] if isinstance(levels, int | float) else levels))
        self._metric, self._objectives = metric, list(settings.objectives)
        size = self._encoding.size
        self._n_startup = 2 * size + 4 if n_startup is None else n_startup
        self._min_trials = 10 * size + 10 if min_trials is None else min_trials
        self._acquisition, self._explore_every, self._stop_below = acquisition, explore_every, stop_below
        self._warp, self._width, self._seed = warp, width, seed or 0
        self._fitted: tuple[int, GaussianProcess] | None = None
        self._boundary: Boundary | None = None
        self._random = RandomSampler(seed=seed)
        self._check()

    def _check(self) -> None:
        if not self.levels:
            raise ConfigError("study.sampler.levels: at least one level")
        if not self._encoding.size:
            raise ConfigError("study.sampler: levelset needs an axis that every trial has")
        if self._acquisition not in ("straddle", "randomised"):
            raise ConfigError(f"study.sampler.acquisition: straddle or randomised, got {self._acquisition!r}")
        if self._warp not in ("none", "asinh") or self._width <= 0:
            raise ConfigError(
                f"study.sampler.warp: none, or asinh with a positive width, got {self._warp!r}, {self._width}"
            )
        if self._n_startup < 2:
            raise ConfigError(f"study.sampler.n_startup: at least 2, got {self._n_startup}")

    # -- Optuna's questions -----------------------------------------------------------------------------

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        del study, trial
        return self._encoding.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        del search_space
        trials = study.get_trials(deepcopy=False)
        chosen = sum("queued" not in earlier.user_attrs for earlier in trials[: trial.number])
        explore = self._explore_every and chosen % self._explore_every == self._explore_every - 1
        model = self._model(trials)
        if model is None or chosen < self._n_startup or explore:
            return self._encoding.params(self._sobol(chosen + 1, self._seed)[-1])
        return self._encoding.params(self._best(self._believing(model, trials, trial.number), trial.number))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def blind(self, study: Study) -> int:
        """Points that may be chosen at once: each takes the earlier ones for what the model expects of them."""
        trials = study.get_trials(deepcopy=False)
        chosen = sum("queued" not in trial.user_attrs for trial in trials)
        running = sum(trial.state is TrialState.RUNNING for trial in trials)
        return max(self._n_startup - chosen, len(self._observed(trials)) // BLIND - running, 0)

    def exhausted(self, study: Study) -> str | None:
        """Why the map is good enough, None if it is not yet."""
        trials = study.get_trials(deepcopy=False)
        if self._stop_below is None or len(self._observed(trials)) < self._min_trials:
            return None
        found = self.boundary(study)
        if found is None or found.ambiguous >= self._stop_below:
            return None
        return f"only {found.ambiguous:.1%} of the area is ambiguous"

    def boundary(self, study: Study) -> Boundary | None:
        """The state of the map, None before the model exists."""
        trials = study.get_trials(deepcopy=False)
        model = self._model(trials)
        count = len(self._observed(trials))
        if model is None:
            return None
        if self._boundary is None or self._boundary.points != count:
            features = self._encoding.features_of(self._sobol(CANDIDATES, self._seed + 1))
            # a single best guess of the length scales is too sure of itself where nothing was measured
            draws = model.hyper_draws(8, np.random.default_rng(self._seed))
            unsure, above = np.zeros(len(features)), np.zeros(len(features))
            for draw in draws:
                mean, std = draw.predict(features)
                close = [np.abs(mean - h) < KAPPA * std for h in self._warped(np.array(self.levels))]
                unsure += np.any(close, axis=0) / len(draws)
                above += (mean > self._warped(np.array(self.levels[:1]))) / len(draws)
            self._boundary = Boundary(ambiguous=float(unsure.mean()), above=float(above.mean()), points=count)
        return self._boundary

    # -- the model --------------------------------------------------------------------------------------

    def _observed(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        names = self._encoding.distributions.keys()
        return [
            trial
            for trial in trials
            if trial.state is TrialState.COMPLETE
            and self._value(trial) is not None
            and names <= trial.params.keys()
        ]

    def _value(self, trial: FrozenTrial) -> float | None:
        if self._metric in self._objectives:
            return float(trial.values[self._objectives.index(self._metric)])
        value = trial.user_attrs.get("metrics", {}).get(self._metric)
        return None if value is None else float(value)

    def _model(self, trials: Sequence[FrozenTrial]) -> GaussianProcess | None:
        observed = self._observed(trials)
        if len(observed) < 3:
            return None
        if self._fitted is None or self._fitted[0] != len(observed):
            y = np.array([self._value(trial) for trial in observed], dtype=float)
            noise = self._noise(observed)
            if len(observed) > MOST_POINTS:
                kept = np.argsort(np.min([np.abs(y - h) for h in self.levels], axis=0))[:MOST_POINTS]
                observed, y, noise = (
                    [observed[i] for i in kept],
                    y[kept],
                    None if noise is None else noise[kept],
                )
            x = np.stack([self._encoding.features(trial.params) for trial in observed])
            if noise is not None:
                noise = noise * self._slope(y) ** 2
            start = self._fitted[1].hyper if self._fitted is not None else None
            model = GaussianProcess.fit(x, self._warped(y), noise, seed=self._seed, restarts=1, start=start)
            self._fitted = (len(self._observed(trials)), model)
        return self._fitted[1]

    def _noise(self, observed: Sequence[FrozenTrial]) -> Array | None:
        """Variance of each mean over seeds, drawn towards the pooled one: three seeds alone say little."""
        if self._metric not in self._objectives:
            return None
        index = self._objectives.index(self._metric)
        columns = [trial.user_attrs.get("seed_values") for trial in observed]
        if any(column is None or len(column[index]) < 2 for column in columns):
            return None
        values = [np.asarray(column[index], dtype=float) for column in columns if column is not None]
        single = np.array([column.var(ddof=1) for column in values])
        freedom = np.array([len(column) - 1 for column in values])
        pooled = float((single * freedom).sum() / freedom.sum())
        shrunk = (PRIOR_WEIGHT * pooled + freedom * single) / (PRIOR_WEIGHT + freedom)
        return np.asarray(shrunk / (freedom + 1))

    def _believing(
        self, model: GaussianProcess, trials: Sequence[FrozenTrial], asking: int
    ) -> GaussianProcess:
        """The model as if running trials returned what it predicts, so that workers do not ask the same."""
        names = self._encoding.distributions.keys()
        pending = [
            self._encoding.features(point)
            for trial in trials
            if trial.number != asking and trial.state in (TrialState.RUNNING, TrialState.WAITING)
            for point in [trial.params or trial.user_attrs.get("queued", {})]
            if names <= point.keys()
        ]
        if not pending:
            return model
        x = np.stack(pending)
        return model.condition(x, model.predict(x)[0])

    def _warped(self, y: Array) -> Array:
        if self._warp == "none":
            return y
        return np.asarray(np.arcsinh((y - np.mean(self.levels)) / self._width))

    def _slope(self, y: Array) -> Array:
        """Derivative of the warp, for the noise."""
        if self._warp == "none":
            return np.ones_like(y)
        return np.asarray(1 / np.hypot(self._width, y - np.mean(self.levels)))

    # -- the rule ---------------------------------------------------------------------------------------

    def _best(self, model: GaussianProcess, number: int) -> Array:
        """The point [k] of the unit cube with the largest acquisition."""
        rng = np.random.default_rng([self._seed, number])
        kappa = float(np.sqrt(rng.chisquare(2))) if self._acquisition == "randomised" else KAPPA
        points = self._sobol(CANDIDATES, int(rng.integers(1 << 31)))
        scores = self._scores(model, points, kappa)
        spread = 0.1
        for _ in range(ROUNDS):
            best = points[np.argsort(scores)[-REFINED:]]
            near = np.repeat(best, NEIGHBOURS, axis=0)
            near = np.clip(near + spread * rng.standard_normal(near.shape), 0, 1)
            points = np.concatenate([best, near])
            scores = self._scores(model, points, kappa)
            spread /= 3
        return np.asarray(points[int(np.argmax(scores))])

    def _scores(self, model: GaussianProcess, points: Array, kappa: float) -> Array:
        features = self._encoding.features_of(points)
        mean, std = model.predict(features)
        distance = np.min([np.abs(mean - h) for h in self._warped(np.array(self.levels))], axis=0)
        apart = spatial.distance.cdist(features, model.x).min(axis=1) >= APART
        return np.where(apart, kappa * std - distance, -np.inf)  # none left: the first is as good as any

    def _sobol(self, n: int, seed: int) -> Array:
        """First ``n`` points [n, k] of the scrambled sequence."""
        count = 1 << max(0, int(np.ceil(np.log2(n))))
        engine = qmc.Sobol(self._encoding.size, scramble=True, rng=np.random.default_rng(seed))
        return np.asarray(engine.random(count)[:n])
