"""What a run left: its trained model, record and configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

import crossweep
from crossweep.build import build
from crossweep.data.base import Task
from crossweep.errors import ConfigError
from crossweep.records import CHECKPOINT_NAME, RECORD_NAME, read_record
from crossweep.testbeds.testbed import TestbedExperiment
from crossweep.training.allocation import allocating
from crossweep.training.evaluate import Score, evaluate


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model and where it comes from.

    Args:
        model: on crossbars, in evaluation mode, as it was after the last epoch.
        record: the run's record (see ``crossweep.records.RunRecord``).
        config: the run's whole configuration, plain and resolved.
        task: the data that it was fine-tuned on.
        folder: of the run.
    """

    model: nn.Module
    record: Mapping[str, Any]
    config: Mapping[str, Any]
    task: Task
    folder: Path

    def evaluate(self, split: Literal["train", "validation", "test"] = "test") -> Score:
        """Accuracy (share in 0..1) and loss (mean cross entropy [nat]) on one split; every read has noise of its own.

        Raises:
            ConfigError: the run has no such split.
        """
        found = getattr(self.task, split, None) if split in ("train", "validation", "test") else None
        if found is None:
            raise ConfigError(f"split: must be one of the run's (train, validation, test), got {split!r}")
        return evaluate(self.model, found)


def load(folder: Path | str, *, compute_device: str = "auto", plugins: Sequence[str] = ()) -> Trained:
    """The trained model of a run, from its checkpoint.

    Its first evaluation on the test split repeats the record's bit for bit where the run was computed on the same kind of
    device. The run's data are read from where its configuration says.

    Args:
        folder: of a run, with ``record.json`` and ``checkpoint.safetensors``: the ``folder`` of `crossweep.run`, or one
            below ``multirun/runs/``.
        compute_device: where the model goes: ``auto``, ``cpu``, ``cuda``, ...
        plugins: packages of yours that the run used. A record alone never makes code run: what it names beyond crossweep
            must be listed here.

    Raises:
        ConfigError: the folder holds no run, or none with a checkpoint; the run is of another version, or used packages
            that ``plugins`` does not list.

    Example:
        >>> trained = crossweep.load(record["folder"])
        >>> trained.evaluate().accuracy
    """
    folder = Path(folder)
    if not (folder / RECORD_NAME).is_file():
        raise ConfigError(f"{folder}: is no folder of a finished run, it holds no {RECORD_NAME}")
    record = read_record(folder / RECORD_NAME)
    _require_loadable(folder, record, plugins)
    config = record["config"]
    made = build({**config, "compute_device": compute_device, "plugins": list(plugins)})
    if isinstance(made, TestbedExperiment):
        raise ConfigError(f"{folder}: is the run of a test-bed, which trains no network")
    checkpoint = folder / CHECKPOINT_NAME
    if not checkpoint.is_file():
        raise ConfigError(f"{folder}: has kept no {CHECKPOINT_NAME}; {_why(config, record)}")
    with allocating("data"):
        task = made.data.target().to(made.torch_device)
    same = str(record["hardware"].get("device", "")).partition(":")[0] == made.torch_device.type
    model = made.trained(checkpoint, task, draws=same)
    return Trained(model=model, record=record, config=config, task=task, folder=folder)


def _require_loadable(folder: Path, record: Mapping[str, Any], plugins: Sequence[str]) -> None:
    written = record["versions"].get("crossweep")
    if written != crossweep.__version__:
        raise ConfigError(
            f"{folder}: was written by crossweep {written}, this is {crossweep.__version__}; load it with that version, or"
            " run it again"
        )
    if missing := [name for name in record["config"].get("plugins", ()) if name not in plugins]:
        raise ConfigError(
            f"plugins: the run used {', '.join(map(str, missing))}; if you trust it, load(folder, plugins={missing!r})"
        )


def _why(config: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    if not config["keep_checkpoint"]:
        return "keep_checkpoint=true keeps it: run again with that and resume=never"
    return f"the run ended ({record['state']}) before its first epoch did, or the file was removed"
