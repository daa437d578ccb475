"""Every device of the configuration trains a network from the entry point, under its own name alone."""

from math import isfinite
from pathlib import Path

import pytest

from tests.devices import catalogue
from tests.runs import trained

SHORT = (
    "model=mlp",
    "model.widths=[16]",
    "training.pretrain.epochs=1",
    "training.finetune.epochs=1",
    "training.baseline=[]",
    "evaluation.fresh_devices=1",
    "quiet=true",
    "keep_checkpoint=false",
)


@pytest.mark.few(9)
@pytest.mark.parametrize("name", catalogue.NAMES)
def test_a_network_trains_on_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    record = trained(tmp_path / "run", f"device={name}", *SHORT, device=name)
    assert record["state"] == "complete"
    assert isfinite(record["metrics"]["train_loss"])
    assert record["cost"]["pulses_per_device_fast"] > 0
