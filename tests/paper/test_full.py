"""The command for full scale, shortened: from the study over its saved runs to the page."""

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from crossweep import train
from crossweep.paper.page import parts, saved
from crossweep.paper.saved import save
from tests.data.files import write_cifar

# Swin-T's kinds of layers and stages at a thousandth of its weights
TINY = {"patch_size": 8, "window_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]}
SHORT = (
    *(f"++model.kwargs.{name}={value}" for name, value in TINY.items()),
    "training.pretrain.epochs=1",
    "training.pretrain.batch_size=8",
    "training.finetune.epochs=4",
    "data.crop_padding=0",
    "data.flip=false",
    "training.finetune.batch_size=8",
    "evaluation.fresh_devices=1",
    "study.seeds=[100]",
    "study.workers=1",
    "study.params.algorithm='choice(cttv2)'",
)


@pytest.mark.slow
def test_full_scale_runs_from_the_command_to_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar(tmp_path / "data", monkeypatch)
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    monkeypatch.setattr(sys, "argv", ["crossweep-train", "-m", "study=paper/full", *SHORT])
    GlobalHydra.instance().clear()
    train.main()
    GlobalHydra.instance().clear()
    save(tmp_path / "multirun" / "paper_full", tmp_path / "kept" / "paper_full")
    made = parts(saved(tmp_path / "kept"))
    rows = [line.split(" | ")[:3] for line in made["rules_table"].splitlines()[2:]]
    assert rows == [["| Swin-T", classes, "`cttv2`"] for classes in ("0-9", "10-19", "both")]
    assert len(made["fresh_table"].splitlines()) == 4 and "| `paper/full` | 2 | 100 |" in made["runs"]
