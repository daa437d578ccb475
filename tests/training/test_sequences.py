"""Beyond images: recurrent and attentive networks through the same entry point, judged by loss as well as by accuracy."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.data.files import write_sequences
from tests.runs import trained
from torch.nn import functional as F

from crossweep.training.evaluate import cross_entropy

SMALL = ("evaluation.fresh_devices=2", "quiet=true", "training.baseline=[momentum]")
TEXT = (
    *(
        "data=text",
        "model=tiny_gpt",
        "model.layers=1",
        "model.width=16",
        "data.characters=3000",
        "data.context=16",
    ),
    *(
        "training.pretrain.epochs=6",
        "training.pretrain.batch_size=16",
        "training.finetune.epochs=3",
        "algorithm.auto_granularity=50.0",
    ),
)


@pytest.fixture(autouse=True)
def own_multirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))


def judged(record: dict[str, Any]) -> dict[str, float]:
    """The metrics of a run that is whole."""
    assert record["state"] == "complete"
    found, reference = record["metrics"], record["baselines"][record["reference"]]
    assert found["loss_increase"] == pytest.approx(found["test_loss"] - reference["test_loss"])
    assert found["error_increase"] == pytest.approx(found["test_error"] - reference["test_error"])
    return dict(found)


def test_a_recurrent_network_trains_on_crossbars(tmp_path: Path) -> None:
    write_sequences(tmp_path / "data", "JapaneseVowels")
    words = ("data=sequences", f"data.root={tmp_path / 'data'}", "model=lstm", "model.hidden=8")
    loops = (
        "training.pretrain.epochs=20",
        "training.pretrain.batch_size=8",
        "training.finetune.epochs=12",
        "training.finetune.batch_size=4",
        "algorithm.auto_granularity=20.0",
    )
    record = trained(tmp_path / "run", *words, *loops, *SMALL)
    found = judged(record)
    names = [row["layer"] for row in record["conversion"] if row["tiles"]]
    assert names == ["lstm.0.input", "lstm.0.recurrent", "head"]
    assert record["history"][-1]["train_loss"] < 0.8 * record["history"][0]["train_loss"]
    assert found["test_accuracy"] > 0.35  # of five classes
    # 40 series in each epoch; the recurrent weight is used at each of 9 times
    samples = 12 * 40 * (9 + 9 + 1)
    assert record["cost"]["samples"] == samples


def test_a_transformer_trains_on_crossbars_from_every_place_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "rhyme.txt").write_text("abcdefgh. ihgfedcba, " * 143)
    files = (f"data.{key}={tmp_path / 'rhyme.txt'}" for key in ("file", "source_file"))
    record = trained(tmp_path / "run", *TEXT, *SMALL, *files, "training.finetune.batch_size=8")
    found = judged(record)
    assert {row["layer"] for row in record["conversion"] if row["tiles"]} == {
        *("blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.mlp.0", "blocks.0.mlp.2", "head")
    }
    first, *_, last = record["history"]
    assert last["train_loss"] < first["train_loss"]
    # windows of 16 characters: 151 of 187 train
    assert record["cost"]["samples"] == 3 * 5 * 151 * 16
    assert found["test_loss"] < 2.0 and found["test_accuracy"] > 0.3  # of twelve characters


def test_the_loss_of_places_is_the_mean_over_all_of_them() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1, 2], [3, 4, 0]])
    each = torch.stack([F.cross_entropy(logits[b, t], labels[b, t]) for b in range(2) for t in range(3)])
    torch.testing.assert_close(cross_entropy(logits, labels), each.mean())
    torch.testing.assert_close(cross_entropy(logits, labels, reduction="sum"), each.sum())
    torch.testing.assert_close(cross_entropy(logits[:, 0], labels[:, 0]), each[[0, 3]].mean())
