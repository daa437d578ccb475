"""Optuna's quasi-random sequence, told the search space at once and numbered like the trials.

Optuna's own learns the space from the first finished trial, so the first trials of parallel workers would be
random.
"""

from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.samplers import QMCSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from crossweep.errors import ConfigError

if TYPE_CHECKING:
    from crossweep.sweep.space import Space


class SobolSampler(QMCSampler):
    """Scrambled Sobol points over all axes; conditional axes are random where they exist."""

    def __init__(self, space: "Space", *, qmc_type: str, scramble: bool, seed: int | None) -> None:
        if qmc_type not in ("sobol", "halton"):
            raise ConfigError(f"study.sampler.qmc_type: sobol or halton, got {qmc_type!r}")
        super().__init__(
            qmc_type=qmc_type,
            scramble=scramble,
            seed=seed,
            warn_independent_sampling=False,
            warn_asynchronous_seeding=False,
        )
        self._space = space.distributions()
        self._number = 0

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._number = trial.number
        return super().sample_relative(study, trial, search_space)

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        # Optuna's counter lies in the storage, where a study rebuilt from its folders would begin anew
        del study, search_space
        return self._number

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        del study, trial
        return self._space
