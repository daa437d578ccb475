"""Kernels are compiled in a second process beside the digital training, and it changes nothing but the time."""

import logging
import operator
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.runs import configuration

from crossweep.build import build
from crossweep.engine.cpu.engine import CPUEngine
from crossweep.training import experiment as experiments
from crossweep.training.beside import beside
from crossweep.training.experiment import Experiment, Result
from crossweep.training.progress import Silent

WORDS = (
    *("data=synthetic", "data.train_per_class=20", "data.test_per_class=10", "model=mlp", "model.widths=[8]"),
    *("training.pretrain.epochs=1", "training.finetune.epochs=2", "training.finetune.batch_size=10"),
    *("evaluation.fresh_devices=0", "quiet=true", "training.baseline=[sgd]"),
)


@pytest.fixture(autouse=True)
def own_multirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))


def test_the_work_is_done_by_another_process(tmp_path: Path) -> None:
    with beside(os.symlink, "there", tmp_path / "link") as ended:
        assert ended()
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    "work", [(operator.truediv, 1, 0), (lambda: None,)], ids=["fails", "cannot be handed over"]
)
def test_what_does_not_work_is_left_undone(work: tuple[Any, ...]) -> None:
    with beside(*work) as ended:
        assert not ended()


def test_it_ends_with_the_block(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(KeyboardInterrupt), beside(Path.read_text, fifo):  # which nobody writes
        raise KeyboardInterrupt


@contextmanager
def at_once(function: Callable[..., object], *arguments: Any) -> Iterator[Callable[[], bool]]:
    """`beside` without a process; what is handed over travels all the same."""
    work, own = pickle.loads(pickle.dumps((function, arguments)))
    work(*own)
    yield lambda: True


def trained(folder: Path, *words: str) -> Result:
    folder.mkdir()
    made = build(configuration(*WORDS, *words))
    assert isinstance(made, Experiment)
    return made.run(folder, Silent())


def test_a_rehearsal_changes_nothing_and_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(experiments, "beside", at_once)
    monkeypatch.setattr(CPUEngine, "compiled", True)
    steps: list[object] = []
    run = CPUEngine.run
    monkeypatch.setattr(CPUEngine, "run", lambda self, job: steps.append(job) or run(self, job))
    plain = trained(tmp_path / "plain")
    usual = len(steps)
    monkeypatch.setattr(CPUEngine, "compiled", False)
    with caplog.at_level(logging.WARNING):
        again = trained(tmp_path / "again")
    assert again.metrics == plain.metrics and len(steps) > 2 * usual > 0
    assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in plain.history]
    assert [r.message for r in caplog.records if "compiling kernels" in r.message]
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("again", "plain")]
    assert files[0] == files[1]
    caplog.clear()
    trained(tmp_path / "digital", "algorithm=digital")
    trained(tmp_path / "reference", "engine.backend=reference", "training.finetune.epochs=1")
    assert not caplog.records


SIGNATURES = """
import sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from tests.training import test_beside
from tests.runs import configuration
from crossweep.build import build
from crossweep.training import experiment
from crossweep.training.progress import Silent

def known():
    names = [name for name in sys.modules if name.startswith("crossweep.engine.cpu")]
    return {str((d, d.signatures)) for n in names for d in vars(sys.modules[n]).values() if isinstance(d, Dispatcher)}

made = build(configuration(*test_beside.WORDS, *sys.argv[1:]))
experiment.rehearse([made], experiment._short(made.data.target(), 10))
before = known()
made.run(Path("."), Silent())
print(sorted(known() ^ before), len(before))
"""


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["cttv2", "analog_sgd", "mixed_precision"])
def test_a_rehearsal_compiles_all_that_the_training_calls(rule: str, tmp_path: Path) -> None:
    words = [f"algorithm={rule}", "noise=typical", "evaluation.fresh_devices=2", "seed.device=1"]
    environment = os.environ | {"CROSSWEEP_MULTIRUN": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", SIGNATURES, *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    missing, count = ended.stdout.rsplit(maxsplit=1)
    assert missing == "[]" and int(count) > 10, missing
