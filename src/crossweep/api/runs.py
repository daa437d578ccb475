"""One training in this process, as ``crossweep-train`` does it."""

from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from crossweep.composition import Overrides, hydra_lent, understood, words
from crossweep.errors import CrossweepError
from crossweep.train import job


def run(overrides: Overrides = (), **options: Any) -> dict[str, Any]:
    """Pretrain, transfer, fine-tune on crossbars, compare with digital training: ``crossweep-train`` with these words.

    The run's folder lies where the command would make it, below ``multirun/`` or ``$CROSSWEEP_MULTIRUN``; a finished run is
    returned from there, an interrupted one goes on.

    Args:
        overrides: words of the command line, ``["device=reram_om", "seed.device=1"]``, or a mapping of keys.
        options: as ``overrides``: ``algorithm="agad"``.

    Returns:
        The record (see ``crossweep.records.RunRecord``), and ``folder``, the run's folder. In ``metrics`` accuracies are
        shares in 0..1, errors per cent, the error increase percentage points.

    Raises:
        ConfigError: a key or value breaks its rule; nothing has trained.
        DivergedError: there is no result, because the pretraining or the reference diverged or learned nothing.

    Example:
        >>> record = crossweep.run(["device=reram_om", "algorithm=agad"])
        >>> record["metrics"]["error_increase"]
    """
    ends: list[dict[str, Any] | CrossweepError] = []

    def task(cfg: DictConfig) -> None:
        # Hydra would write to the terminal about an exception that passes through it
        try:
            ends.append(job(cfg) | {"folder": str(HydraConfig.get().runtime.output_dir)})
        except CrossweepError as error:
            ends.append(error)

    given = words(overrides, options)
    with understood(given), hydra_lent() as hydra:
        hydra.run("train", task, given, with_log_configuration=False)
    (end,) = ends
    if isinstance(end, CrossweepError):
        raise end
    return end
