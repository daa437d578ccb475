"""The report of a search: words to paste, what mattered; no budget and no map."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from crossweep.results import build_report
from tests.results.studies import record, write
from tests.runs import configuration

AXES = [
    {"name": "lr", "keys": ["training.finetune.analog_lr"], "low": 0.01, "high": 1.0, "scale": "log"},
    {"name": "bl", "keys": ["algorithm.update.desired_bl"], "choices": [5, 31]},
    {"name": "head", "keys": ["training.finetune.optimizer.lr"], "low": 0.01, "high": 1.0, "scale": "log"},
]


def search(root: Path, *objectives: str, n: int = 24) -> Path:
    """Trials whose first objective is best at an analog rate of 0.1; the second falls with the rate of the head."""
    described = {
        "name": root.name,
        "axes": AXES,
        "objectives": list(objectives),
        "directions": ["maximize", "minimize"][: len(objectives)],
        "sampler": "tpe",
        "budget": 1.2,
        "command": "crossweep-train -m study=tune",
    }
    write(root / "study.json", described)
    rng = np.random.default_rng(0)
    for number in range(n):
        lr, head = 10 ** rng.uniform(-2, 0, 2)
        accuracy = 0.9 - 0.1 * (np.log10(lr) + 1) ** 2
        content = record(1.0)
        content["metrics"] |= {"validation_accuracy": accuracy, "fresh_error_mean": float(10 * head)}
        write(root / f"trial_{number}" / "record.json", content)
        params = {"lr": lr, "bl": 5 if number % 2 else 31, "head": head}
        write(
            root / f"trial_{number}" / "trial.json", {"number": number, "state": "complete", "params": params}
        )
    return root


def best(root: Path) -> dict[str, float]:
    trials = [json.loads(path.read_text())["params"] for path in root.glob("trial_*/trial.json")]
    return min(trials, key=lambda params: abs(np.log10(params["lr"]) + 1))


def test_the_best_trial_is_words_that_a_run_takes(tmp_path: Path) -> None:
    root = search(tmp_path / "tune", "validation_accuracy")
    report = build_report(root)
    text = report.path.read_text("utf-8")
    (words,) = re.findall(r"<pre>(.*?)</pre>", text, re.S)[:1]
    run = configuration(*shlex.split(words.replace("\\\n", " ")))
    wanted = best(root)
    assert run["training"]["finetune"]["analog_lr"] == pytest.approx(wanted["lr"], rel=1e-3)
    assert run["algorithm"]["update"]["desired_bl"] == wanted["bl"]
    assert "algorithm.update.desired_bl=" in report.summary and report.analysis is None
    shown = re.sub(r"<pre>.*?</pre>|<style>.*?</style>|<script>.*?</script>", "", text, flags=re.S)
    assert "udget" not in shown and "landscape" not in shown.lower()
    assert "fANOVA" in shown and "validation accuracy of each trial" in shown
    assert {p.name for p in (root / "figures").glob("*.png")} == {"history_validation_accuracy.png"}


def test_several_objectives_list_what_no_other_beats(tmp_path: Path) -> None:
    report = build_report(search(tmp_path / "t", "validation_accuracy", "fresh_error_mean"), figures=False)
    text = report.path.read_text("utf-8")
    assert "Trials that no other beats" in text and text.count("<svg") == 2


def test_a_search_that_is_asked_for_a_metric_is_mapped(tmp_path: Path) -> None:
    root = search(tmp_path / "t", "validation_accuracy", n=4)
    assert build_report(root, figures=False, metric="test_error").analysis is not None
