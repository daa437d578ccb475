"""A test-bed as an experiment: ``crossweep-train task=weight_programming algorithm=agad``."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.errors import ConfigError
from crossweep.rng import Stream
from crossweep.testbeds.base import AbstractTestbed
from crossweep.tiles.factory import TileFactory
from crossweep.training.allocation import allocating
from crossweep.training.experiment import Result
from crossweep.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class TestbedExperiment:
    """One test-bed with one rule; no network, no data, no baseline.

    Args:
        bed: the task.
        rule: training rule of the single weight.
        factory: makes its tiles; ``seed.training`` also decides target and inputs.
        torch_device: where to compute.
    """

    __test__ = False  # not a test class, whatever its name

    bed: AbstractTestbed
    rule: AbstractAlgorithm
    factory: TileFactory
    torch_device: torch.device

    def __post_init__(self) -> None:
        object.__setattr__(self, "factory", replace(self.factory, instances=self.bed.instances))

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Metrics of a run."""
        return self.bed.metric_names

    def check(self) -> None:
        """Refuse what `run` would refuse.

        Raises:
            ConfigError: the test-bed needs a rule with tiles.
        """
        if self.rule.is_digital:
            raise ConfigError("task: a test-bed needs a rule with tiles, got algorithm=digital")

    def run(self, folder: Path, progress: Progress) -> Result:
        """Do it; nothing is written but the record.

        Raises:
            ConfigError: the test-bed needs a rule with tiles.
        """
        self.check()
        with allocating("task"):
            outcome = self.bed.run(self.rule, self.factory, Stream(self.factory.draws.seed, "task"))
        finite = all(torch.isfinite(torch.tensor(value)) for value in outcome.metrics.values())
        return Result(
            state="complete" if finite else "diverged",
            metrics=outcome.metrics,
            cost=outcome.cost,
        )
