"""``python -m crossweep.bench gpu-check`` without a GPU: what it needs, what it says, and what it ends with."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from crossweep.bench import __main__ as bench
from crossweep.bench import gpu_check
from crossweep.bench.agreement import Scene, compared
from crossweep.bench.gpu_check import Check, Figure, contract, table, training
from crossweep.engine.base import Backend

# the interpreter multiplies hashes as NumPy does, which warns where a GPU wraps around
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
CPU = torch.device("cpu")
TINY = Scene(rule="analog_sgd", shape=(2, 3), samples=2, batches=1, reads="perfect")

# what a bare machine for measuring has, and what these bring with them
THERE = {
    "torch",
    "torchvision",
    "triton",
    "numpy",
    "numba",
    "timm",
    "safetensors",
    "pytest",
    "filelock",
    "pillow",
    "pyyaml",
}
MODULES = {"hydra_core": "hydra", "scikit_learn": "sklearn", "charset_normalizer": "charset_normalizer"}

BARE = """
import sys
from importlib.machinery import ModuleSpec
class Never:
    def find_spec(self, name, path=None, target=None):  # torch looks for some without importing them
        return ModuleSpec(name, self) if name.partition(".")[0] in {forbidden!r} else None
    def create_module(self, spec):
        raise ModuleNotFoundError(spec.name)
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, Never())
from crossweep.bench import gpu_check
from crossweep.bench.agreement import Scene, compared
gpu_check.scenes = lambda *_: iter([{scene!r}])
gpu_check.in_graphs = lambda *_: iter([{captured!r}])
gpu_check.training = lambda check: None
from crossweep.bench.__main__ import main
sys.exit(main(["gpu-check"]))
"""


def forbidden() -> set[str]:
    """Modules of all declared dependencies that a bare machine lacks."""
    declared = [line for line in requires("crossweep") or () if "extra ==" not in line]
    names = {re.split(r"[^\w-]", line)[0].lower().replace("-", "_") for line in declared}
    return {MODULES.get(name, name) for name in names - THERE} | {"aihwkit", "hydra_plugins"}


@pytest.mark.slow
def test_a_bare_machine_will_do() -> None:
    missing = forbidden()
    assert {"hydra", "omegaconf", "optuna", "pandas", "sklearn", "scipy", "matplotlib", "rich"} <= missing
    script = BARE.format(forbidden=missing, scene=TINY, captured=replace(TINY, batches=2))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False,
        env={"TRITON_INTERPRET": "1", "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "HOME": str(Path.home())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("the kernels run in Triton's interpreter")
    assert "triton: " in done.stdout and done.stdout.endswith("the engines agree\n")
    for figure in (
        "comparisons that disagree, of 1 ", "steps that were captured in a graph, of 1 ", "steps in a graph that disagree ",
        "counting at BL 31, 1024x1024x4096 ", "counting at BL 31, 384x384x1024 ",
        "swin_micro, batch 64: c-TTv2 mean BL 5, in a graph, over the digital step in a graph ",
        "swin_tiny, batch 64: c-TTv2 count BL 31, in a graph, over the digital step in a graph ",
        "64 instances of swin_micro at once, c-TTv2 mean BL 5: per instance and step ",
        "CIFAR run of the README, 5 epochs of made images (training) ", "CIFAR run of the README, 64 at once ",
    ):  # fmt: skip
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(figure)]
        assert ("= " in line) and ("no GPU" in line or line.endswith("ok"))


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Iterator[Check]:
    yield Check(CPU)


@pytest.mark.parametrize(("backend", "disagrees"), [("cuda", False), ("reference", True)])
def test_what_disagrees_is_named_and_decides(
    backend: Backend, disagrees: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check(CPU, backend)
    contract(check, [TINY, TINY])
    assert check.disagrees is disagrees
    assert (f"DISAGREES: {TINY.title}: " in capsys.readouterr().out) is disagrees
    assert check.figures[0].found == 2 * disagrees


def test_an_engine_that_raises_disagrees(monkeypatch: pytest.MonkeyPatch, check: Check) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(Scene, "weight", broken)
    contract(check, [TINY])
    assert check.disagrees


def test_two_engines_train_alike_and_another_draw_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    for backend in ("cpu", "reference"):
        check = Check(CPU, backend)  # type: ignore[arg-type]
        training(check)
        assert (check.figures[0].found == 0) is (backend == "cpu")


@pytest.mark.slow
def test_the_kernels_train_like_the_cpu_engine(check: Check) -> None:
    training(check)
    assert not check.disagrees


def test_without_a_gpu_nothing_is_timed_and_a_missed_aim_is_no_fault(check: Check) -> None:
    def never() -> Iterator[float]:
        raise AssertionError("there is no GPU")

    check.part("speed", [Figure("speed", unit="T/s", aim=2.0, least=True)], never)
    check.figures += [
        Figure("slow", 1.5, "T/s", aim=2.0, least=True), Figure("quick", 1.5, "ms", aim=2.0), Figure("known", 3.0, "ms"),
    ]  # fmt: skip
    assert table(check.figures) == [
        "figure  aim       found",
        "speed   >= 2 T/s  no GPU",
        "slow    >= 2 T/s  1.5 T/s  missed",
        "quick   <= 2 ms   1.5 ms   ok",
        "known             3 ms",
    ]
    assert not check.disagrees


def test_a_part_that_fails_leaves_the_others(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    check.place = torch.device("cuda")
    monkeypatch.setattr(gpu_check.speed, "forget", lambda: None)

    def half() -> Iterator[float]:
        yield 1.0
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    check.part("steps", [Figure("eager"), Figure("in a graph")], half)
    assert [figure.cells()[2] for figure in check.figures] == [
        "1", "RuntimeError: CUDA error: operation not permitted when stream is capturing",
    ]  # fmt: skip
    check.began -= 1000
    check.part("more", [Figure("late")], half)
    assert check.figures[-1].why == "out of time"


def test_it_begins_again_for_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[list[str], str]] = []
    monkeypatch.delenv("TRITON_INTERPRET")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        subprocess, "call", lambda words, env: called.append((words[1:], env["TRITON_INTERPRET"])) or 7
    )
    assert bench.main(["gpu-check"]) == 7
    assert called == [(["-m", "crossweep.bench", "gpu-check"], "1")]


@pytest.mark.slow
def test_traces_come_back_from_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "WORKERS", 2)
    wanted = [replace(TINY, samples=samples) for samples in (1, 2, 3)]
    for scene, first, second in zip(wanted, *gpu_check.in_processes(wanted, "cpu", CPU), strict=True):
        found = compared(scene, first, second)
        assert len(first) > 10 and (found.worst, found.faults) == (0.0, [])
