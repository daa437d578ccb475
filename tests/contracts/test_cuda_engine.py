"""The Triton kernels: the pulses of the CPU engine, its states within rounding. Without a GPU they run in Triton's
interpreter, and are compiled for one all the same.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("triton")
from triton.runtime.interpreter import InterpretedFunction

from crossweep.bench.agreement import LR, Scene, agreement, scenes
from crossweep.bench.basic import basic
from crossweep.common import own as own_of
from crossweep.engine import chain
from crossweep.engine.base import EngineParameters, Level
from crossweep.engine.choose import choose, engine
from crossweep.engine.cpu.words import pulse_words
from crossweep.engine.cuda.words import words_of
from crossweep.engine.io_parameters import IOParameters, NoiseManagement
from crossweep.engine.pulse_plan import PulsePlan
from crossweep.errors import ConfigError
from crossweep.rng import Company, Stream
from tests.algorithms.rigs import normal
from tests.some import some
from tests.waits import Waits

# the interpreter computes as NumPy does, which warns where a hash wraps around and of what is no number
pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")

HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PARTS = Scene(rule="analog_sgd", max_relaxation=0.02, shape=(18, 20), samples=5)
ALL = {scene.title: scene for scene in (replace(s, batches=2) for s in (PARTS, *scenes((18, 20), 5)))}
# a rule of each kind on a response, level and periphery of each kind; the others are slow in the interpreter
FIRST = {
    scene.title: scene
    for scene in (
        Scene(rule="analog_sgd", device="exponential"),
        Scene(rule="cttv2", device="power"),
        Scene(rule="cttv2", device="table"),
        Scene(rule="cttv2", level="mean", max_relaxation=0.02),
        Scene(rule="cttv2", level="pulse"),
        Scene(rule="erider"),
        Scene(rule="tt_adam, factored"),
        Scene(rule="rlv2", reads="narrow"),
    )
    for scene in [replace(scene, shape=(18, 20), samples=5, batches=2)]
}


@pytest.mark.parametrize("title", some(FIRST | ALL, *FIRST))
def test_it_does_what_the_cpu_engine_does(title: str) -> None:
    assert agreement((FIRST | ALL)[title], "cuda", HERE).faults == []


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(Scene(rule="analog_sgd", device="exponential", reads="ir drop"), marks=pytest.mark.slow),
        Scene(rule="cttv2", device="table", reads="pcm noise"),
        Scene(rule="agad", level="mean", reads="narrow"),
        pytest.param(Scene(rule="rlv2", reads="narrow"), marks=pytest.mark.slow),
    ],
    ids=lambda scene: scene.title,
)
def test_a_point_in_company_is_what_it_is_alone(scene: Scene) -> None:
    """Bit for bit, where all numbers differ."""
    scene = replace(scene, instances=2, points=True, shape=(3, 4), samples=3)
    whole, alone = scene.weight("cuda", HERE), scene.alone("cuda", HERE)
    for t in range(2):
        x, d = (scene.values(f"{name} {t}", n).to(HERE) for name, n in zip("xd", (4, 3), strict=True))
        read = whole.read(x)
        whole.update(x, d, scene.rate(LR))
        for i, weight in enumerate(alone):
            assert torch.equal(weight.read(x[i]), read[i])
            weight.update(x[i], d[i], own_of(scene.rate(LR), i))
    for i, weight in enumerate(alone):
        for name, buffer in weight.named_buffers():
            assert torch.equal(buffer.nan_to_num(), whole.get_buffer(name)[i].nan_to_num()), name


def plan(samples: int, lines: int, longest: int, *lead: int) -> PulsePlan:
    bl = (1 + torch.arange(samples) * 7 % longest).float().expand(*lead, samples).clone()
    bl[..., 1] = 0
    bl[..., 2] = longest
    values = normal(3, *lead, samples, lines), normal(4, *lead, samples, lines + 3)
    scales = (normal(5, *lead, samples).abs() for _ in range(2))
    return PulsePlan(
        x=values[0], d=values[1], scale_x=next(scales), scale_d=next(scales), bl=bl, longest=longest
    )


def moved(own: PulsePlan) -> PulsePlan:
    tensors = {name: getattr(own, name).to(HERE) for name in ("x", "d", "scale_x", "scale_d", "bl")}
    return replace(own, **tensors, whole=None)


@pytest.mark.few(4)
@pytest.mark.parametrize("longest", [1, 5, 19, 20, 31, 32, 33, 70])
def test_pulses_are_those_of_the_cpu_engine(longest: int) -> None:
    own = plan(9, 21, longest)
    packed = pulse_words(own, Stream(7), ())
    drawn, words_at = words_of(moved(own), Stream(7), ())
    assert drawn.slots[0].tolist() == packed.slots.tolist()
    for words, negative, lines in (
        (drawn.columns, drawn.signs[1], packed.x),
        (drawn.rows, drawn.signs[0], packed.d),
    ):
        n = words.shape[-1]
        slots = np.unpackbits(lines.pulses[:, :n].T.copy().view(np.uint8), bitorder="little").reshape(n, -1)
        signs = np.unpackbits(lines.signs[:, :n].T.copy().view(np.uint8), bitorder="little").reshape(n, -1)
        found = words[0].cpu().numpy().view(np.uint32)
        for s in range(9):
            first, last = packed.slots[s : s + 2]
            bits = [(found[k // 32, s] >> np.uint32(k % 32)) & 1 for k in range(last - first)]
            expected = slots[:, first:last].T
            assert np.array_equal(np.array(bits).reshape(expected.shape), expected)
            if last > first:
                minus = found[0, s] >> np.uint32(31) if drawn.signed else negative[0, s].cpu().numpy()
                assert np.array_equal(minus, signs[:, first])
    assert drawn.running[0].cpu().numpy() == pytest.approx(packed._typical(0, 9), rel=1e-12)
    assert float(drawn.kappas(2, 8)) == pytest.approx(packed.blocks(2, 8), rel=1e-6)
    edges, many = drawn.edges(words_at, 1, 8, 0.05, 0.02)
    assert edges[0, : int(many) + 1].tolist() == packed.edges(1, 8, 0.05, 0.02).tolist()
    samples, pieces, many = drawn.listed(1, 8)
    begins = drawn.slots[0, samples[0].long()] + 32 * pieces[0]
    assert begins[: int(many)].tolist() == packed.pieces(1, 8, 32)[0].tolist()


def test_each_of_several_instances_draws_what_it_draws_alone() -> None:
    own = moved(plan(6, 11, 31, 3))
    together, which = words_of(own, Company([Stream(seed) for seed in range(3)]), (3,))
    assert which.tolist() == [0, 1, 2]
    for seed in range(3):
        alone, _ = words_of(own.instance(seed), Stream(seed), ())
        assert torch.equal(together.columns[seed], alone.columns[0])
        assert torch.equal(together.rows[seed], alone.rows[0])


@pytest.mark.few(2)
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("noise_management", ["abs_max", "constant"])
def test_vectors_that_clip_are_read_again_alike(bounded: bool, noise_management: NoiseManagement) -> None:
    io = basic(
        IOParameters,
        out_bound=0.3,
        out_noise=0.01,
        inp_noise=0.02,
        w_noise=0.02,
        noise_management=noise_management,
    )
    weight, x = normal(1, 12, 40), normal(2, 2, 4, 40)
    x[0, 0] = 0.0
    x[1, 2, 3] = torch.nan
    if noise_management == "abs_max":
        x[1, 1] = torch.inf
    first = engine(basic(EngineParameters, backend="cpu")).read(x, weight, io, Stream(1), bounded=bounded)
    second = engine(basic(EngineParameters, backend="cuda"), HERE).read(
        x.to(HERE), weight.to(HERE), io, Stream(1), bounded=bounded
    )
    assert torch.equal(first.isnan(), second.cpu().isnan()) and bool(first[1, 2].isnan().all())
    off = (first - second.cpu()).nan_to_num().abs()
    assert int((off > 1e-5).sum()) <= 1  # on the edge of a bin


def test_where_it_works_and_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("auto", torch.device("cuda")).implementation == "cuda"
    assert choose("auto", torch.device("cpu")).implementation == "cpu"
    monkeypatch.setattr("crossweep.engine.choose.interpreted", lambda: False)
    with pytest.raises(ConfigError, match="works on compute_device=cuda only"):
        choose("cuda", torch.device("cpu"))
    monkeypatch.setattr("crossweep.engine.choose.find_spec", lambda name: None)
    assert choose("auto", torch.device("cuda")).implementation == "reference"
    with pytest.raises(ConfigError, match="needs Triton"):
        choose("cuda", torch.device("cuda"))


@pytest.mark.parametrize("level", ["count", "mean", "pulse"])
@pytest.mark.parametrize("rule", ["analog_sgd", "cttv2", "tt_adam, factored", "mrl"])
def test_nothing_waits_for_the_gpu(rule: str, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(rule=rule, level=level, reads="narrow", instances=2)
    weight, (d, x) = scene.weight("cuda", HERE), scene.shape
    inputs, errors = scene.values("x", x).to(HERE), scene.values("d", d).to(HERE)
    # launches do nothing: the interpreter asks tensors for their numbers, and so does a count on the CPU
    monkeypatch.setattr(
        InterpretedFunction, "__getitem__", lambda kernel, grid: lambda *arguments, **constants: None
    )
    monkeypatch.setattr(chain, "of_each", lambda true, stream: true.sum())
    with Waits(engines=True) as waits:
        weight.read(inputs)
        weight.read_transposed(errors)
        weight.update(inputs, errors, LR)
    assert waits.found == []


COMPILED = [Scene(reads="narrow").title, Scene(rule="analog_sgd").title]


@pytest.mark.parametrize("titles", [COMPILED, pytest.param([], marks=pytest.mark.slow)], ids=["some", "all"])
def test_what_training_launches_compiles_for_a_gpu(titles: list[str]) -> None:
    assert set(titles) <= {scene.title for scene in scenes()}
    script = Path(__file__).parent / "compile_kernels.py"
    done = subprocess.run([sys.executable, script, *titles], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    kernels = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert {"live", "update", "count_windows", "draw_lines", "convert", "digitise", "halve"} <= set(kernels)
    if titles:  # once, whatever the size of a mini-batch
        once = ("live", "update", "count_windows", "parts_of_windows")
        assert [kernels.count(name) for name in once] == [1, 1, 1, 1]
        assert not [line for line in done.stdout.splitlines() if line.startswith(once) and "spilled" in line]
