"""All windows of a mini-batch in one compiled call, against one window after the other: the same numbers."""

import pytest
import torch
from tests import expect
from tests.algorithms.rigs import COUNT, MEAN, PULSE

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.base import AbstractAlgorithm, AnalogWeight
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.erider import ERIDER
from crossweep.algorithms.rider import RIDER
from crossweep.algorithms.rlv2 import RLv2
from crossweep.algorithms.tiki_taka import BufferedTransfer, TikiTaka
from crossweep.algorithms.tt_adam import TTAdam
from crossweep.algorithms.ttv1 import TTv1
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.piecewise_step import PiecewiseStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters
from crossweep.engine.cpu import windows
from crossweep.engine.cpu.engine import CPUEngine
from crossweep.engine.io_parameters import PERFECT, IOParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory

IDEAL = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
REGULAR = {"in_chop_prob": 0.3, "in_chop_random": False}
UPDATE = basic(UpdateParameters, desired_bl=5)
BATCHES = (50, 1, 20, 131, 64)
SEVERAL = basic(UpdateParameters, pulse_type="deterministic_implicit", desired_bl=7)
COARSE_READ = basic(
    IOParameters,
    inp_res=1 / 126,
    out_res=1 / 62,
    out_bound=2.0,
    out_noise=0.0,
    noise_management="none",
    bound_management="none",
)
RULES: dict[str, BufferedTransfer] = {
    "cttv2": basic(CTTv2, update=UPDATE, auto_granularity=40.0, transfer_io=COARSE_READ, **REGULAR),
    "cttv2_kept": basic(CTTv2, update=UPDATE, forget_buffer=False, momentum=0.2, transfer_every=3, **REGULAR),
    "cttv2_rows": basic(
        CTTv2, update=UPDATE, transfer_columns=False, correct_gradient_magnitudes=True, **REGULAR
    ),
    "agad": basic(AGAD, update=UPDATE, auto_granularity=40.0, **REGULAR),
    "agad_sums": basic(AGAD, update=UPDATE, correct_accumulation=True, forget_buffer=False, **REGULAR),
    "ttv2": basic(TTv2, update=UPDATE, auto_granularity=40.0, n_reads_per_transfer=2),
    "adam": basic(TTAdam, update=UPDATE, transfer_io=COARSE_READ, **REGULAR),
    "agad_adam": basic(
        AGAD,
        update=UPDATE,
        normalise="device",
        transfer_lr=0.02,
        step=2.0,
        transfer_update=SEVERAL,
        **REGULAR,
    ),
    "factored": basic(TTAdam, update=UPDATE, normalise="factored", transfer_columns=False, **REGULAR),
    "rider": basic(RIDER, update=UPDATE, auto_granularity=40.0),
    "erider": basic(ERIDER, update=UPDATE, auto_granularity=40.0, **REGULAR),
    "erider_rows": basic(
        ERIDER,
        update=UPDATE,
        auto_granularity=10.0,
        transfer_columns=False,
        out_chop_prob=0.5,
        in_chop_prob=0.5,
    ),
    "several_pulses": basic(TTv2, update=UPDATE, auto_granularity=10.0, step=3.4, transfer_update=SEVERAL),
}
UNMANAGED = basic(UpdateParameters, desired_bl=10, update_management=False, update_bl_management=False)
BY_TRAINS: dict[str, TikiTaka] = {
    "ttv1": basic(TTv1, update=UPDATE, gamma=0.1, transfer_io=COARSE_READ),
    "ttv1_unmanaged": basic(
        TTv1, update=UPDATE, transfer_update=UNMANAGED, transfer_every=3, n_reads_per_transfer=2
    ),
    "chain": basic(
        TTv1, update=UPDATE, n_tiles=3, gamma=0.4, transfer_every_vec=(1.0, 5.0), transfer_lr_vec=(1.0, 3.0)
    ),
    "rlv2": basic(RLv2, update=UPDATE, gamma=0.1),
    "rlv2_rows": basic(RLv2, update=UPDATE, transfer_columns=False, buffer_rate=1.0),
}
KINDS: dict[str, AbstractDevice] = {
    "constant": basic(ConstantStep, dw_min=0.01, w_max=5.0, w_min=-5.0, **IDEAL),
    # nearly flat: with slopes the unknown order of pulses is drawn, and the two ways draw differently
    "exponential": basic(
        ExpStep,
        dw_min=0.0125,
        w_max=5.0,
        w_min=-5.0,
        A_up=0.2,
        A_down=0.2,
        gamma_up=0.002,
        gamma_down=0.002,
        b=0.0,
        **IDEAL,
    ),
    # exponents so small that steps are nearly the same everywhere, for the same reason
    "power": basic(PowStep, dw_min=0.01, w_max=5.0, w_min=-5.0, pow_gamma=0.002, pow_gamma_dtod=0.0, **IDEAL),
    "table": basic(
        PiecewiseStep, dw_min=0.01, w_max=5.0, w_min=-5.0, piecewise_up=(1.0,), piecewise_down=(1.0,), **IDEAL
    ),
}


def trained(
    rule: AbstractAlgorithm,
    engine: EngineParameters | None = None,
    seed: int = 2,
    batches: tuple[int, ...] = BATCHES,
    device: AbstractDevice | None = None,
) -> AnalogWeight:
    """A weight after some mini-batches, by default five, of which some end in the middle of a pass."""
    device = device or KINDS["constant"]
    periphery = PERFECT
    factory = TileFactory(
        fast=device, slow=device, symmetry_point=basic(SymmetryPoint), engine=engine or COUNT, forward=periphery,
        backward=periphery, population=Stream(1), draws=Stream(seed),
    )  # fmt: skip
    weight = rule.build((70, 37), factory)
    data, like = Stream(3), torch.empty(0)
    for batch in batches:
        x, d = (data.fork(name).normal(batch, size, like=like) for name, size in (("x", 37), ("d", 70)))
        weight.update(x, d, 0.5)
    return weight


LEVELS: dict[str, tuple[EngineParameters, AbstractDevice]] = {
    **{f"count_{name}": (COUNT, device) for name, device in KINDS.items()},
    # in order nothing is drawn but the pulses: here steps may follow the state, and bounds may be met
    "pulse_constant": (PULSE, KINDS["constant"]),
    "pulse_soft_bounds": (PULSE, basic(SoftBounds, dw_min=0.02, **IDEAL)),
}


@pytest.mark.few(40)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", RULES)
def test_one_call_does_what_the_windows_do_one_by_one(
    name: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, device = LEVELS[level]
    calls: list[object] = []
    run = windows.run_
    monkeypatch.setattr(CPUEngine, "windows_kernel", lambda _, *given: calls.append(given) or run(*given))
    at_once = trained(RULES[name], engine, device=device)
    assert len(calls) >= 5, "the compiled call was not used"
    monkeypatch.setattr(windows, "refuses", lambda *_: "one by one")
    one_by_one = trained(RULES[name], engine, device=device)
    first, second = (dict(weight.named_buffers()) for weight in (at_once, one_by_one))
    assert float(first["slow.pulses_given"].sum()) > 20
    for key, tensor in first.items():
        torch.testing.assert_close(
            tensor, second[key], atol=2e-4, rtol=2e-4, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert at_once.counters() == one_by_one.counters()


def test_expected_pulses_in_one_call_move_as_they_do_window_by_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the draws differ, so states of the fast tile are compared as samples: around what each device reaches on average
    rule, batches = basic(TTv2, update=UPDATE, auto_granularity=1e6), (50,)

    def states() -> tuple[torch.Tensor, torch.Tensor]:
        runs = [dict(trained(rule, MEAN, seed, batches).named_buffers()) for seed in range(40)]
        return torch.stack([run["fast.state"] for run in runs]), runs[0]["fast.pulses_given"]

    calls: list[object] = []
    run = windows.run_
    monkeypatch.setattr(CPUEngine, "windows_kernel", lambda _, *given: calls.append(given) or run(*given))
    at_once, pulses = states()
    assert len(calls) >= 40, "the compiled call was not used"
    monkeypatch.setattr(windows, "refuses", lambda *_: "one by one")
    one_by_one, known = states()
    torch.testing.assert_close(pulses, known)  # of each device, expected ones: not drawn
    error = ((at_once.var(0) + one_by_one.var(0)) / 40).sqrt()
    moved = error > 0  # the pulses of no device are certain
    assert moved.all()
    difference = (at_once.mean(0) - one_by_one.mean(0)) / error
    # the square of each is 1 in the mean, up to the spread of the estimated errors (t with 78 degrees of freedom)
    expect.mean(difference.square(), 78 / 76, std=(2 * 78**2 * 77 / (76**2 * 74)) ** 0.5, detects=0.3)
    expect.same_std(at_once - at_once.mean(0), one_by_one - one_by_one.mean(0))


@pytest.mark.few(2)
@pytest.mark.parametrize("name", BY_TRAINS)
def test_pulse_trains_in_one_call_write_what_they_write_window_by_window(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads and buffers are the same numbers; only the trains of the transfers are drawn anew."""
    seeds, batches = range(60), (50, 23)

    def runs() -> list[AnalogWeight]:
        return [trained(BY_TRAINS[name], seed=seed, batches=batches) for seed in seeds]

    calls: list[object] = []
    run = windows.run_
    monkeypatch.setattr(CPUEngine, "windows_kernel", lambda _, *given: calls.append(given) or run(*given))
    at_once = runs()
    assert len(calls) >= len(seeds) * len(batches), "the compiled call was not used"
    monkeypatch.setattr(windows, "refuses", lambda *_: "one by one")
    one_by_one = runs()
    for first, second in zip(at_once, one_by_one, strict=True):
        mine, theirs = dict(first.named_buffers()), dict(second.named_buffers())
        for key in {"fast.state", "transfer_0.held", "chop_in", "chop_out"} & mine.keys():
            torch.testing.assert_close(mine[key], theirs[key], atol=1e-6, rtol=0)
        counted, known = first.counters()["tally"], second.counters()["tally"]
        drawn = {"transfers": 0, "transfer_slots": 0}
        assert counted | drawn == known | drawn
    written = [
        torch.stack([dict(weight.named_buffers())["slow.state"] for weight in weights])
        for weights in (at_once, one_by_one)
    ]
    # rows of a column share a train: only whole runs are independent
    direction = torch.cat(written).mean(0).sign()
    assert all(float(states.abs().max()) > 0.02 for states in written)
    expect.same_mean(*((states * direction).sum((-1, -2)) for states in written))
    expect.same_mean(*((states - states.mean(0)).square().sum((-1, -2)) for states in written))
    expect.same_mean(
        *(torch.tensor([weight.slow.pulses for weight in weights]) for weights in (at_once, one_by_one))
    )
    expect.same_mean(
        *(
            torch.tensor([float(weight.counters()["tally"]["transfers"]) for weight in weights])
            for weights in (at_once, one_by_one)
        )
    )


def test_noisy_pulses_in_order_in_one_call_move_as_they_do_window_by_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pulse noise, write noise and bounds that are met: the same distributions."""
    rule, seeds = basic(CTTv2, update=UPDATE, auto_granularity=40.0, **REGULAR), range(40)
    device = basic(SoftBounds, dw_min=0.05, dw_min_std=2.0, write_noise_std=1.0)

    def runs() -> dict[str, torch.Tensor]:
        buffers = [dict(trained(rule, PULSE, seed, (50, 23), device).named_buffers()) for seed in seeds]
        return {
            key: torch.stack([one[key] for one in buffers])
            for key in ("fast.state", "fast.weight", "slow.state", "slow.weight")
        }

    calls: list[object] = []
    run = windows.run_
    monkeypatch.setattr(CPUEngine, "windows_kernel", lambda _, *given: calls.append(given) or run(*given))
    at_once = runs()
    assert len(calls) >= 2 * len(seeds), "the compiled call was not used"
    monkeypatch.setattr(windows, "refuses", lambda *_: "one by one")
    one_by_one = runs()
    for key in at_once:
        both = torch.cat((at_once[key], one_by_one[key]))
        # pulses couple the devices of a line: only whole runs are independent
        mine, theirs = at_once[key] - both.mean(0), one_by_one[key] - both.mean(0)
        for moment in (1, 2):
            expect.same_mean(*((states**moment).sum((-1, -2)) for states in (mine, theirs)))
    moved = at_once["slow.state"].abs().sum((-1, -2)), one_by_one["slow.state"].abs().sum((-1, -2))
    assert float(moved[0].min()) > 0.5
    expect.same_mean(*moved)
