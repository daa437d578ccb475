"""A device of somebody else, in a package and a folder of options of their own."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from crossweep.build import build, plain
from crossweep.paths import conf_dir, version_base
from crossweep.train import train

MODULE = '''
from dataclasses import dataclass

from torch import Tensor

from crossweep.devices.base import AbstractDevice, Cells
from crossweep.devices.response import General, Response


@dataclass(frozen=True, kw_only=True)
class Cubic(AbstractDevice):
    """Mean step ``s+ (1 - z^3)`` up and ``s- (1 + z^3)`` down, ``z = bend v / w_max``.

    Args:
        bend: how far the steps bend [1], >= 0.

    Source: made up.
    """

    bend: float = 0.8

    def response(self, cells: Cells) -> Response:
        def cube(v: Tensor) -> Tensor:
            return (self.bend * v / self.w_max) ** 3

        return General(
            up=lambda v: cells.step_up * (1 - cube(v)).clamp(min=0.0),
            down=lambda v: cells.step_down * (1 + cube(v)).clamp(min=0.0),
            noise=self.dw_min_std,
        )
'''
OPTION = """
defaults: [_common, _self_]
_target_: cubic_devices.Cubic
dw_min: 0.01
w_max: 1.0
w_min: -1.0
bend: 0.9                    # how far the steps bend [1]; chosen
"""
WORDS = (
    "device=cubic", "plugins=[cubic_devices]", "model=mlp", "model.widths=[8]", "data=synthetic", "training.baseline=[]",
    "training.pretrain.epochs=1", "training.finetune.epochs=1", "evaluation.fresh_devices=1", "quiet=true",
    "data.train_per_class=8", "data.test_per_class=4", "training.finetune.batch_size=8", "training.pretrain.batch_size=8",
)  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of options, and a package that can be imported."""
    (tmp_path / "options" / "device").mkdir(parents=True)
    (tmp_path / "options" / "device" / "cubic.yaml").write_text(OPTION)
    (tmp_path / "cubic_devices.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    return tmp_path / "options"


def composed(folder: Path, *words: str) -> dict[str, object]:
    """What ``crossweep-train --config-dir FOLDER WORD...`` would run."""
    with initialize_config_dir(str(conf_dir()), **version_base()):
        return plain(compose("train", overrides=[f"hydra.searchpath=[file://{folder}]", *words]))


@pytest.mark.parametrize("level", ["count", "pulse", "mean"])
@pytest.mark.parametrize("rule", ["cttv2", "analog_sgd"])
def test_a_device_from_outside_trains(outside: Path, tmp_path: Path, level: str, rule: str) -> None:
    cfg = composed(outside, *WORDS, f"engine={level}", f"algorithm={rule}")
    record = train(cfg, tmp_path / "run", choices={"device": "cubic"}, overrides=list(WORDS))
    given = [value for key, value in record["cost"].items() if key.startswith("pulses_per_device")]
    assert record["state"] == "complete" and given and min(given) > 0
    device = build(cfg).factory.fast  # type: ignore[union-attr]
    assert type(device).__name__ == "Cubic" and device.bend == 0.9  # type: ignore[attr-defined]
    cells = device.draw((2, 3), build(cfg).factory.population)  # type: ignore[union-attr]
    assert torch.isfinite(device.symmetry_point(cells)).all()  # type: ignore[arg-type]
