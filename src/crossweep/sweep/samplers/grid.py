"""Every cell of a grid exactly once.

Optuna's grid sampler loses cells when trials are queued again and asks for an end of the study from inside
an objective. This one looks at which cells are taken (finished, running or queued) and gives the first free
one; a cell whose trial was lost becomes free with its queued copy, and a study that has no free cell is
exhausted.
"""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from crossweep.errors import ConfigError, StudyError
from crossweep.sweep.axes import grid

if TYPE_CHECKING:
    from crossweep.sweep.space import Space

Cell = tuple[tuple[str, Any], ...]
MAX_CELLS = 1_000_000


class GridSampler(BaseSampler):
    """Cells in order of the axes (the last one fastest), or shuffled.

    Args:
        space: the axes; continuous ones are cut into ``points`` cells.
        shuffle: random order, so that an unfinished grid covers everything.
        seed: of the order.
    """

    def __init__(self, space: "Space", *, shuffle: bool, seed: int | None) -> None:
        self.cells = cells_of(space)
        self._order = np.arange(len(self.cells))
        if shuffle:
            self._order = np.random.default_rng(seed).permutation(len(self.cells))
        self._index = {cell: position for position, cell in enumerate(self.cells)}
        self._settled: set[int] = set()
        self._taken = np.zeros(len(self.cells), dtype=bool)
        self._chosen: dict[int, dict[str, Any]] = {}

    def exhausted(self, study: Study) -> str | None:
        """Why nothing is left to ask, None if a cell is free."""
        taken = self._update(study, None)
        return f"all {len(self.cells)} cells of the grid are taken" if bool(taken.all()) else None

    def blind(self, study: Study) -> int:
        """Cells that are free."""
        return int(np.count_nonzero(~self._update(study, None)))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        del study, trial
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        del study, trial, search_space
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        # conditional axes are asked for one at a time, so the cell is fixed at the first question
        del param_distribution
        if trial.number not in self._chosen:
            free = self._order[~self._update(study, trial.number)[self._order]]
            if not len(free):
                raise StudyError("study.sampler: the grid has no free cell")
            self._chosen = {trial.number: dict(self.cells[int(free[0])])}
        return self._chosen[trial.number][param_name]

    def _update(self, study: Study, asking: int | None) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Which cells are taken. Ended trials are looked at once; running and queued ones may be lost yet."""
        taken = self._taken
        passing = taken.copy()
        replaced = set()
        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            if "retry_of" in trial.user_attrs:
                replaced.add(trial.user_attrs["retry_of"])
        for trial in trials:
            if trial.number in self._settled or trial.number == asking:
                continue
            position = self._index.get(cell_key(trial.params or trial.user_attrs.get("queued", {})))
            ended = trial.state.is_finished()
            # a trial that crashed keeps its cell: asking again would crash again; `retry_failed` queues it
            if ended:
                self._settled.add(trial.number)
            if position is not None and not (trial.state is TrialState.FAIL and trial.number in replaced):
                (taken if ended else passing)[position] = True
        return taken | passing


def cells_of(space: "Space") -> list[Cell]:
    """All cells of the grid; a conditional axis adds cells only where it exists.

    Raises:
        ConfigError: more cells than anybody could run.
    """
    cells: list[dict[str, Any]] = [{}]
    for axis in space.axes:
        values = grid(axis)
        if len(cells) * len(values) > MAX_CELLS:
            raise ConfigError(
                f"study.sampler: the grid has more than {MAX_CELLS} cells; use fewer points per axis"
            )
        cells = list(
            itertools.chain.from_iterable(
                [{**cell, axis.name: value} for value in values] if axis in space.active(cell) else [cell]
                for cell in cells
            )
        )
    return [cell_key(cell) for cell in cells]


def cell_key(params: Mapping[str, Any]) -> Cell:
    """A cell as a dictionary key, independent of the order of the axes."""
    return tuple(sorted(params.items()))
