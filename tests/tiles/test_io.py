"""The periphery: resolution, ranges, noise, scaling, bound management; compiled and torch paths alike."""

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from tests import expect
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.engine.base import EngineParameters
from crossweep.engine.choose import engine
from crossweep.engine.cpu.engine import CPUEngine
from crossweep.engine.io_parameters import PERFECT, IOParameters
from crossweep.rng import Stream

QUIET = {"out_noise": 0.0}
ENGINE = engine(basic(EngineParameters))
read = ENGINE.read


def read_slices(w: Tensor, io: IOParameters, rng: Stream, columns: Tensor | slice = slice(None)) -> Tensor:
    return ENGINE.read_columns(w, io, rng, columns)


@pytest.fixture(params=["compiled", "torch"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both implementations of the periphery."""
    if request.param == "torch":
        monkeypatch.setattr(CPUEngine, "fits", lambda *_: False)
    return request.param


def torch_path(function: Callable[[], Tensor]) -> Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CPUEngine, "fits", lambda *_: False)
        return function()


def test_perfect_read_is_the_product(rng: Stream) -> None:
    x, w = rng.normal(5, 7, like=torch.empty(0)), rng.normal(4, 7, like=torch.empty(0))
    assert torch.equal(read(x, w, PERFECT, rng), x @ w.T)


def test_inputs_and_outputs_are_on_their_grids(path: str, rng: Stream) -> None:
    io = basic(IOParameters, inp_res=1 / 126, out_res=1 / 510, out_bound=12.0, **QUIET)
    x = rng.normal(50, 20, like=torch.empty(0))
    scale = x.abs().amax(-1, keepdim=True)
    drive = read(x, torch.eye(20), basic(IOParameters, inp_res=1 / 126, out_res=0.0, **QUIET), rng) / scale
    steps = drive * 63
    assert (steps - steps.round()).abs().max() < 1e-4
    assert (drive - x / scale).abs().max() <= 0.5 / 63 + 1e-6
    y = read(x, 0.3 * rng.normal(9, 20, like=x), io, rng) / scale / (24 / 510)
    assert (y - y.round()).abs().max() < 1e-3


def test_a_resolution_above_one_is_a_number_of_steps_of_the_range(path: str, rng: Stream) -> None:
    """Four steps of -1..1 are half a unit, eight steps of -2..2 as well."""
    x = torch.cat((torch.ones(60, 1), rng.uniform(60, 20, like=torch.empty(0)) * 2 - 1), 1)
    drive = read(x, torch.eye(21), basic(IOParameters, inp_res=4.0, out_res=0.0, **QUIET), rng)
    assert sorted(set((drive * 2).flatten().tolist())) == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert (drive - x).abs().max() <= 0.25 + 1e-6
    y = read(x, torch.eye(21), basic(IOParameters, inp_res=0.0, out_res=8.0, out_bound=2.0, **QUIET), rng)
    assert sorted(set((y * 2).flatten().tolist())) == [-2.0, -1.0, 0.0, 1.0, 2.0]


def test_fact_17_noise_of_an_output_scales_with_the_input(path: str, rng: Stream) -> None:
    x, w = torch.full((40_000, 3), 0.7), torch.tensor([[0.2, -0.1, 0.3], [0.0, 0.1, 0.2]])
    io = basic(IOParameters, inp_res=0.0, out_res=0.0)
    for size in (1.0, 100.0):
        y = read(size * x, w, io, rng)
        for i in range(2):
            expect.mean(
                y[:, i], 0.7 * size * float(w[i].sum()), std=0.06 * 0.7 * size, detects=0.03 * 0.06 * size
            )
            expect.variance(y[:, i], (0.06 * 0.7 * size) ** 2, detects=0.06)
        expect.distribution((y[:, 0] - y[:, 0].mean()) / y[:, 0].std(), stats.norm.cdf)
        expect.mean(
            y[:, 0].sub(0.28 * size) * y[:, 1].sub(0.21 * size),
            0.0,
            std=(0.042 * size) ** 2,
            detects=1e-4 * size**2,
        )


def test_zero_vectors_read_as_zero(path: str, rng: Stream) -> None:
    x = torch.ones(3, 4)
    x[1] = 0.0
    y = read(x, torch.ones(5, 4), basic(IOParameters), rng)
    assert y[1].eq(0).all()
    assert y[[0, 2]].ne(0).all()


def test_vectors_that_are_not_finite_stay_so(path: str, rng: Stream) -> None:
    x = torch.ones(3, 4)
    x[1, 2] = torch.nan
    y = read(x, torch.ones(5, 4), basic(IOParameters), rng)
    assert y[1].isnan().all()
    assert y[[0, 2]].isfinite().all()


@pytest.mark.parametrize("bounded", [True, False])
def test_bound_management_reads_clipped_vectors_again(path: str, bounded: bool, rng: Stream) -> None:
    io = basic(IOParameters, out_bound=2.0, out_res=0.0, inp_res=0.0, **QUIET)
    x = torch.ones(3, 8)
    x[1] *= 0.1
    x[2, 2:] = 0.0
    w = torch.full((2, 8), 0.9)  # sums of 7.2: clipped at 2, unclipped after two halvings
    y = read(x, w, io, rng, bounded=bounded)
    full = torch.tensor([7.2, 0.72, 1.8]).unsqueeze(-1).expand(3, 2)
    limited = torch.tensor([2.0, 0.2, 1.8]).unsqueeze(-1).expand(3, 2)
    torch.testing.assert_close(y, full if bounded else limited)


def test_bound_management_gives_up_when_the_input_is_too_coarse(path: str, rng: Stream) -> None:
    io = basic(IOParameters, out_bound=0.001, out_res=0.0, inp_res=1 / 126, **QUIET)
    y = read(torch.ones(1, 4), torch.ones(1, 4), io, rng)
    torch.testing.assert_close(y, torch.full((1, 1), 0.016))  # 16 is the first factor above 0.25 / (2 / 126)


@pytest.mark.parametrize(
    "change",
    [
        {}, {"inp_res": 0.0}, {"out_bound": 0.0}, {"noise_management": "none"}, {"nm_thres": 1.1},
        {"out_res": 254.0},
        {"noise_management": "constant", "nm_thres": 2.0}, {"out_bound": 1.5}, {"bound_management": "none",
        "out_bound": 1.0},
    ],
)  # fmt: skip
def test_both_paths_agree_exactly_without_noise(change: dict[str, float], rng: Stream) -> None:
    io = basic(IOParameters, **{**QUIET, **change})
    x, w = rng.normal(60, 33, like=torch.empty(0)), 0.2 * rng.normal(21, 33, like=torch.empty(0))
    fast, slow = read(x, w, io, rng), torch_path(lambda: read(x, w, io, rng))
    apart = (fast - slow).abs() > 1e-5
    # a product that lies between two bins may be rounded either way
    assert int(apart.sum()) <= 2, (fast - slow).abs().max()
    torch.testing.assert_close(read_slices(w, io, rng), torch_path(lambda: read_slices(w, io, rng)))


@pytest.mark.parametrize(
    "change",
    [
        {"inp_noise": 0.2}, {"w_noise": 0.1}, {"w_noise": 0.1, "w_noise_type": "pcm_read"},
        {"inp_sto_round": True, "inp_res": 0.3},
        {"out_sto_round": True, "out_res": 0.1}, {"out_noise": 0.3}, {"out_noise": 1.0, "out_bound": 2.0},
    ],
)  # fmt: skip
def test_both_paths_share_their_distribution_with_noise(change: dict[str, float], rng: Stream) -> None:
    io = basic(IOParameters, **{**QUIET, "out_res": 0.0, **change})
    x, w = torch.tensor([[0.3, -0.8, 0.55]]).expand(4000, 3).contiguous(), torch.tensor([[0.5, -0.3, 0.2]])
    pairs = [(read(x, w, io, rng), torch_path(lambda: read(x, w, io, rng)))]
    if not any(key.startswith("inp") for key in change):  # noise of a DAC is shared by all rows of a read
        many = w.expand(4000, 3).contiguous()
        fast, slow = read_slices(many, io, rng), torch_path(lambda: read_slices(many, io, rng))
        pairs += [(fast[:, j], slow[:, j]) for j in range(3)]
    for fast, slow in pairs:
        expect.same_mean(fast, slow)
        expect.same_std(fast, slow)
        if not any("sto_round" in key for key in change):
            expect.same_distribution(fast, slow)


@pytest.mark.parametrize("change", [{}, {"inp_noise": 0.1}, {"ir_drop": 5.0}, {"w_noise": 0.05}])
def test_a_slice_read_is_a_read_of_a_one_hot_vector(path: str, change: dict[str, float], rng: Stream) -> None:
    io = basic(
        IOParameters,
        **{
            **QUIET,
            "noise_management": "none",
            "bound_management": "none",
            "ir_drop_g_ratio": 30.0,
            **change,
        },
    )
    w, repeats = 0.4 * rng.normal(6, 5, like=torch.empty(0)), 400
    slices = torch.stack([read_slices(w, io, rng, torch.tensor([1, 4])) for _ in range(repeats)])
    rows = torch.eye(5)[[1, 4]].repeat(repeats, 1)
    reads = read(rows, w, io, rng).view(repeats, 2, 6).transpose(1, 2)
    if not change or "ir_drop" in change:
        torch.testing.assert_close(slices, reads)
        return
    for i in range(6):
        for q in range(2):
            expect.same_mean(slices[:, i, q], reads[:, i, q])
            expect.same_std(slices[:, i, q], reads[:, i, q])


def test_reads_do_not_depend_on_the_number_of_threads() -> None:
    threads, results = torch.get_num_threads(), []
    x, w = Stream(3).normal(900, 130, like=torch.empty(0)), Stream(4).normal(70, 130, like=torch.empty(0))
    io = basic(IOParameters, out_bound=3.0, inp_noise=0.1)
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            results.append((read(x, w, io, Stream(5)), read_slices(w, io, Stream(6))))
    finally:
        torch.set_num_threads(threads)
    for product, slices in results[1:]:  # the matrix product itself may add in another order
        assert (product - results[0][0]).abs().gt(1e-3).double().mean() < 1e-3
        assert torch.equal(slices, results[0][1])
