"""``python -m crossweep.bench gpu-check``: does the engine on the GPU do what the one on the CPU does, and how fast is it?

On a machine with a GPU all of it; without one the comparison, small and in Triton's interpreter. It needs neither network
nor anything beyond torch, triton, numpy, numba, timm and safetensors.
"""

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from math import isfinite, nan
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from crossweep.bench import gpu_speed as speed
from crossweep.bench.agreement import (
    APART,
    Agreement,
    Scene,
    Trace,
    compared,
    in_graphs,
    scenes,
    traced,
)
from crossweep.bench.steps import analog_model, digital_model
from crossweep.bench.table import Rows
from crossweep.bench.tape import Tape
from crossweep.engine.base import Backend
from crossweep.training.graph import CUDAGraph, Graph

CPU = torch.device("cpu")
WORKERS = 4  # processes that compile and run the GPU's half of the comparison
SECONDS = 225.0  # after which no further part begins
OF_DIGITAL = {5: ("mean", 2.0), 31: ("count", 3.0)}  # aims: BL, level and steps in units of the digital one
LOSS = 0.02  # relative difference of the training losses of two engines: edges, after some steps


@dataclass(frozen=True)
class Figure:
    """A line of the table.

    Args:
        what: that was measured.
        found: value [unit]; NaN: it was not.
        unit: of value and aim.
        aim: to be reached; None: there is none.
        least: the value must be the aim at least; else at most.
        why: in place of a value.
        must: to miss the aim is a disagreement.
    """

    what: str
    found: float = nan
    unit: str = ""
    aim: float | None = None
    least: bool = False
    why: str = ""
    must: bool = False

    @property
    def fine(self) -> bool | None:
        """Whether the aim is reached; None: nobody knows."""
        if self.aim is None or not isfinite(self.found):
            return None
        return self.found >= self.aim if self.least else self.found <= self.aim

    def cells(self) -> tuple[str, str, str, str]:
        """As the table shows it."""
        aim = (
            "" if self.aim is None else f"{'>=' if self.least else '<='} {self.aim:.3g} {self.unit}".rstrip()
        )
        found = self.why if not isfinite(self.found) else f"{self.found:.3g} {self.unit}".rstrip()
        bad = "DISAGREES" if self.must else "missed"
        return self.what, aim, found, {True: "ok", False: bad, None: ""}[self.fine]


@dataclass
class Check:
    """One call of the command.

    Args:
        place: where the examined engine works.
        backend: the examined engine.
        figures: found so far.
        began: when [s].
    """

    place: torch.device
    backend: Backend = "cuda"
    figures: list[Figure] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def on_gpu(self) -> bool:
        """Whether there is one."""
        return self.place.type == "cuda"

    @property
    def disagrees(self) -> bool:
        """Whether anything that must hold does not."""
        return any(figure.must and figure.fine is False for figure in self.figures)

    def say(self, what: str) -> None:
        """A life sign."""
        print(f"[{time.monotonic() - self.began:5.0f} s] {what}", flush=True)

    def part(self, what: str, figures: Sequence[Figure], measure: Callable[[], Iterable[float]]) -> None:
        """Measure some figures: the values in their order, or why there is none."""
        if not self.on_gpu:
            self.figures += [replace(figure, why="no GPU") for figure in figures]
            return
        if time.monotonic() - self.began > SECONDS:
            self.figures += [replace(figure, why="out of time") for figure in figures]
            return
        self.say(what)
        found: list[Figure] = []
        try:
            for figure, value in zip(figures, measure(), strict=True):
                found.append(replace(figure, found=value))
        except Exception as error:  # whatever a driver, a compiler or a graph raises: the other parts go on
            reason = (
                f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            )
            found += [replace(figure, why=reason[:80]) for figure in figures[len(found) :]]
        self.figures += found
        speed.forget()


def main() -> int:
    """Check, print the table; 1 if anything disagrees."""
    small = os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")
    if not small and not torch.cuda.is_available():
        # Triton reads the variable when it is imported, which it has been: begin again
        again = [sys.executable, "-m", "crossweep.bench", "gpu-check"]
        return subprocess.call(again, env=os.environ | {"TRITON_INTERPRET": "1"})
    if small:
        # it multiplies hashes as NumPy does, which warns where a GPU wraps around
        warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)
        print(
            "the kernels run in Triton's interpreter, small and on the CPU; no speed is measured", flush=True
        )
    check = Check(torch.device("cpu" if small else "cuda"))
    everything(check)
    print(*machine(), "", *table(check.figures), sep="\n")
    print("the engines DISAGREE" if check.disagrees else "the engines agree")
    return int(check.disagrees)


def rows() -> Rows:
    """The figures as a part of the benchmark; none without a GPU."""
    if not torch.cuda.is_available():
        return []
    check = Check(torch.device("cuda"))
    everything(check)
    return [dict(zip(("figure", "aim", "found", "verdict"), figure.cells())) for figure in check.figures]


def everything(check: Check) -> None:
    """All figures."""
    # in the interpreter a scene takes seconds
    few = (replace(scene, batches=2) for scene in scenes((6, 19), 4))
    contract(check, list(scenes((70, 133), 40) if check.on_gpu else few))
    graphs(check, list(in_graphs((40, 70), 40)) if check.on_gpu else list(in_graphs((3, 5), 4))[:2])
    training(check)
    for part in (counting, whole_steps, instances, cifar):
        part(check)


# -- agreement -------------------------------------------------------------------------------------


def contract(check: Check, wanted: Sequence[Scene]) -> None:
    """Compare the engines on scenes."""
    check.say(f"{len(wanted)} comparisons with the engine on the CPU")
    apart, worst, failed = 0.0, 0.0, 0
    for found in _compared(check, wanted):
        apart, worst, failed = max(apart, found.apart), max(worst, found.worst), failed + bool(found.faults)
        if found.faults:
            check.say(f"DISAGREES: {found.scene.title}: {'; '.join(found.faults)}")
    check.figures += [
        Figure(f"comparisons that disagree, of {len(wanted)}", failed, aim=0.0, must=True),
        Figure("largest difference of states and reads", worst, "of the range"),
        Figure("numbers on the edge of a bin, largest share", apart, "", aim=APART),
    ]


def _compared(check: Check, wanted: Sequence[Scene]) -> Iterator[Agreement]:
    if check.on_gpu:
        traces = zip(*in_processes(wanted, check.backend, check.place), strict=True)
    else:
        traces = ((_tried(one, "cpu", CPU), _tried(one, check.backend, check.place)) for one in wanted)  # type: ignore[assignment]
    for scene, (first, second) in zip(wanted, traces, strict=True):
        yield compared(scene, first, second)


def in_processes(
    wanted: Sequence[Scene], backend: Backend, place: torch.device
) -> tuple[list[Trace], list[Trace]]:
    """What the engine on the CPU does in scenes, and what another one does, side by side.

    The kernels of both are compiled at first use, which takes longer than all else.
    """
    with ProcessPoolExecutor(1 + WORKERS, mp_context=get_context("spawn")) as pool:
        truth = pool.submit(_packed, list(wanted), "cpu", CPU)
        shares = [pool.submit(_packed, list(wanted[k::WORKERS]), backend, place) for k in range(WORKERS)]
        examined: list[Trace] = [{} for _ in wanted]
        for k, share in enumerate(shares):
            examined[k::WORKERS] = share.result()
        return tuple([_unpacked(trace) for trace in traces] for traces in (truth.result(), examined))  # type: ignore[return-value]


def _packed(wanted: Sequence[Scene], backend: Backend, place: torch.device) -> list[Trace]:
    """Traces as arrays: each tensor that goes to another process keeps a file open there."""
    traces = [_tried(scene, backend, place) for scene in wanted]
    return [{k: v.numpy() if isinstance(v, Tensor) else v for k, v in trace.items()} for trace in traces]


def _unpacked(trace: Trace) -> Trace:
    return {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in trace.items()}


def _tried(scene: Scene, backend: Backend, place: torch.device) -> Trace:
    """The trace; an engine that raises has none, and disagrees."""
    try:
        return traced(scene, backend, place)
    except Exception as error:  # whatever a compiler raises: the other scenes go on
        return {"refuses": f"{type(error).__name__}: {error}"[:400]}


def graphs(check: Check, wanted: Sequence[Scene]) -> None:
    """Compare steps that are launched with steps from a graph; without a GPU from a tape of what is launched."""
    check.say(f"{len(wanted)} comparisons of steps in a graph with steps that are launched")
    make: Callable[[], Graph] = CUDAGraph if check.on_gpu else Tape
    worst, failed, captured = 0.0, 0, 0
    for scene in wanted:
        try:
            first, second = (traced(scene, check.backend, check.place, graph) for graph in (None, make))
        except Exception as error:  # whatever a driver raises: the other scenes go on
            first, second = {}, {"refuses": f"{type(error).__name__}: {error}"[:400]}
        captured += "refuses" not in second
        found = compared(scene, first, second)
        worst = max(worst, found.worst)
        if found.faults:
            check.say(f"in a graph: {scene.title}: {'; '.join(found.faults)}")
            failed += "refuses" not in second
    check.figures += [
        Figure(
            f"steps that were captured in a graph, of {len(wanted)}", captured, aim=len(wanted), least=True
        ),
        Figure("steps in a graph that disagree", failed, aim=0.0, must=True),
        Figure("largest difference of their states and reads", worst, "of the range"),
    ]


def training(check: Check) -> None:
    """A short training on both engines: the same draws give nearly the same losses."""
    many, size = (40, speed.CIFAR.size) if check.on_gpu else (4, 4)
    data = replace(speed.CIFAR, train_per_class=many, test_per_class=2, size=size)
    check.say(f"a training on {10 * many} made images of {size} x {size}, on both engines")
    losses: list[float] = []
    for backend, place in ((check.backend, check.place), ("cpu", CPU)):
        model = analog_model(_network(size), "cttv2", "count", 5, "preset", place.type, backend=backend)
        result = speed.fit(model, data, 1, place, batch=16)
        losses.append(result.history[-1]["train_loss"] if result.history else nan)
    off = abs(losses[0] / losses[1] - 1)
    what = "training losses of both engines, relative difference"
    check.figures.append(Figure(what, off if isfinite(off) else 1.0, aim=LOSS, must=True))


def _network(size: int) -> nn.Module:
    if size == speed.CIFAR.size:
        return digital_model("swin_micro")
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 12), nn.Tanh(), nn.Linear(12, 10))
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)
    return network


# -- speed -----------------------------------------------------------------------------------------


def counting(check: Check) -> None:
    """Weight-samples per second."""
    cases = (((1024, 1024, 4096), 2.0), ((384, 384, 1024), 1.0))
    figures = [
        Figure(f"counting at BL 31, {d}x{x}x{b}", unit="T weight-samples/s", aim=aim, least=True)
        for (d, x, b), aim in cases
    ]
    check.part("counting", figures, lambda: (speed.counting(*case) / 1e12 for case, _ in cases))


def whole_steps(check: Check) -> None:
    """Steps of c-TTv2 against the digital one, launched one by one and in a graph."""
    for name in ("swin_micro", "swin_tiny"):
        title = f"{name}, batch {speed.BATCH}"
        digital = [Figure(f"{title}: digital step, {how}", unit="ms") for how in ("eager", "in a graph")]
        of_graph: list[float] = []

        def baseline(name: str = name, of_graph: list[float] = of_graph) -> Iterator[float]:
            step = speed.digital_step(digital_model(name))
            yield 1e3 * speed.events(step)
            of_graph.append(1e3 * speed.events(speed.graphed(step)))
            yield of_graph[0]

        check.part(f"steps of {name}", digital, baseline)
        for bl, (level, aim) in OF_DIGITAL.items():
            rule = f"{title}: c-TTv2 {level} BL {bl}"
            figures = [
                Figure(f"{rule}, host waits for the GPU", aim=0.0),
                Figure(f"{rule}, eager", unit="ms"),
                Figure(f"{rule}, kernels alone", unit="ms"),
                Figure(f"{rule}, in a graph", unit="ms"),
                Figure(f"{rule}, in a graph, over the digital step in a graph", aim=aim),
            ]

            def measure(
                name: str = name, level: str = level, bl: int = bl, of_graph: list[float] = of_graph
            ) -> Iterator[float]:
                step = speed.analog_step(digital_model(name), level, bl)
                yield speed.waits(step)
                yield 1e3 * speed.events(step)
                yield 1e3 * speed.in_kernels(step)
                own = 1e3 * speed.events(speed.analog_step(digital_model(name), level, bl, captured=True))
                yield own
                yield own / of_graph[0] if of_graph else nan

            check.part(rule, figures, measure)


def instances(check: Check, many: int = 64) -> None:
    """Several instances at once."""
    for bl, (level, _) in OF_DIGITAL.items():
        title = f"{many} instances of swin_micro at once, c-TTv2 {level} BL {bl}"
        figures = [Figure(f"{title}: per instance and step", unit="ms", aim=1.5)]
        if bl == 5:
            figures.append(
                Figure(
                    f"CIFAR run of the README, {many} at once (training, from its steps)", unit="s", aim=60.0
                )
            )

        def measure(level: str = level, bl: int = bl) -> Iterator[float]:
            seconds = speed.events(speed.instances_step(digital_model("swin_micro"), many, level, bl))
            yield 1e3 * seconds / many
            if bl == 5:
                yield seconds * speed.cifar_steps()

        check.part(title, figures, measure)


def cifar(check: Check) -> None:
    """The analog training of the CIFAR run: five epochs and the evaluations after each."""
    figure = Figure(
        f"CIFAR run of the README, {speed.CIFAR_EPOCHS} epochs of made images (training)", unit="s", aim=10.0
    )

    def measure() -> Iterator[float]:
        model = analog_model(digital_model("swin_micro"), "cttv2", "count", 5, "preset", "cuda")
        speed.fit(
            model, replace(speed.CIFAR, train_per_class=20, test_per_class=5), 1, check.place
        )  # to compile
        began = time.monotonic()
        speed.fit(model, speed.CIFAR, speed.CIFAR_EPOCHS, check.place)
        yield time.monotonic() - began

    check.part("five epochs", [figure], measure)


# -- the table -------------------------------------------------------------------------------------


PACKAGES = ("torch", "triton", "numba", "numpy", "timm", "crossweep")


def machine() -> list[str]:
    """Device and versions, a line each."""
    driver = Path("/proc/driver/nvidia/version")
    known = {
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "driver": driver.read_text().splitlines()[0] if driver.exists() else "none",
        "CUDA of torch": torch.version.cuda,
        "python": sys.version.split()[0],
    }
    return [
        f"{name}: {value}" for name, value in (known | {name: _version(name) for name in PACKAGES}).items()
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "from a folder"


def table(figures: Sequence[Figure]) -> list[str]:
    """All figures in lines."""
    rows = [("figure", "aim", "found", ""), *(figure.cells() for figure in figures)]
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, (*widths, 0))).rstrip() for row in rows]
