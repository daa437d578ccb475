"""Reads over the root of their mean square: against thirty lines of their own, and what follows from the formula."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.tiki_taka import BufferedTransfer
from crossweep.algorithms.tt_adam import TTAdam
from crossweep.algorithms.ttv2 import TTv2
from crossweep.bench.basic import basic
from crossweep.engine.base import EngineParameters
from crossweep.engine.pulse_plan import UpdateParameters
from crossweep.errors import ConfigError
from tests.algorithms.rigs import factory, ideal, normal, soft

MANY = basic(UpdateParameters, pulse_type="deterministic_implicit", desired_bl=2000)
ENGINES = [
    basic(EngineParameters, level="pulse", backend="reference"), basic(EngineParameters, level="pulse", backend="cpu"),
    basic(EngineParameters, level="count", backend="cpu"),
]  # fmt: skip
ON_EVERY_ENGINE = pytest.mark.parametrize("engine", ENGINES, ids=lambda e: f"{e.backend}-{e.level}")


def reference(
    weight: ChainWeight, contents: Tensor, lr: float, every: int, period: int, past: float | None = None
) -> dict[str, Tensor]:
    """What a column of A leaves in V, H and C where it is ``contents [batches, O, I]``, sample by sample.

    Regular choppers flip after every ``period`` passes; ``past``: weight of a read in AGAD's running mean.
    """
    rule, step, batch = weight.rule, weight.slow.device.granularity, BATCH
    assert isinstance(rule, BufferedTransfer)
    rows, columns = contents.shape[1:]
    held, square, mean, kept, pulses = torch.zeros(5, rows, columns, dtype=torch.float64)
    count, sign, column, samples = [0] * columns, [1.0] * columns, 0, 0
    flipped = [False] * columns
    reads = batch / (every * columns)
    b = rule.beta2 ** (1 / reads)
    scale = weight.scale.double()[:, 0] if weight.scale.dim() else torch.ones(rows, dtype=torch.float64)
    for content in contents.double():
        for _ in range(batch):
            samples += 1
            if samples % every:
                continue
            j, v = column, content[:, column]
            if past is not None:
                kept[:, j] = mean[:, j] if flipped[j] else kept[:, j]
                mean[:, j] = (1 - past) * mean[:, j] + past * v
                v = v - kept[:, j]
            silent = 0 if past is None else period + 1
            n = max(count[j] - silent + 1, 1)
            w = (1 - b) / (1 - b**n)
            square[:, j] = (1 - w) * square[:, j] + w * v**2
            root = square[:, j].sqrt() + rule.eps * weight.fast.device.granularity
            held[:, j] += sign[j] * lr * rule.transfer_lr / (reads * step) * v / root / scale
            sent = held[:, j].trunc().clamp(-2000, 2000)
            held[:, j] -= sent
            pulses[:, j] += sent if count[j] >= silent else 0
            flipped[j] = count[j] % period == period - 1
            sign[j] = -sign[j] if flipped[j] else sign[j]
            count[j] += 1
            column = (column + 1) % columns
    return {"transfer_0.held": held, "transfer_0.second": square, "slow.state": step * pulses}


BATCH, BATCHES = 13, 12
TRACED: dict[str, tuple[BufferedTransfer, float | None]] = {
    "tt_adam": (basic(TTAdam, in_chop_prob=0.3, transfer_lr=0.2), None),
    "sign": (basic(TTAdam, in_chop_prob=0.3, transfer_lr=0.2, beta2=0.0), None),
    "agad": (
        basic(
            AGAD,
            normalise="device",
            in_chop_prob=0.3,
            tail_weightening=2.0,
            transfer_lr=0.2,
            forget_buffer=False,
        ),
        0.5,
    ),
}


def built(rule: BufferedTransfer, engine: EngineParameters, step: float = 1e-3) -> ChainWeight:
    rule = replace(rule, transfer_update=MANY, transfer_every=2, transfer_io="perfect", in_chop_random=False)  # type: ignore[call-arg]
    weight = rule.build((4, 5), factory(ideal(0.02), ideal(step), engine=engine))
    assert isinstance(weight, ChainWeight)
    return weight


def put(weight: ChainWeight, contents: Tensor, lr: float) -> None:
    """Mini-batches without a gradient, each with A as it was written."""
    for content in contents:
        weight.fast.set_weight(content)
        weight.update(torch.zeros(BATCH, 5), torch.zeros(BATCH, 4), lr)


@ON_EVERY_ENGINE
@pytest.mark.parametrize("name", TRACED)
def test_every_state_follows_the_formulas(name: str, engine: EngineParameters) -> None:
    rule, past = TRACED[name]
    weight = built(rule, engine)
    weight.scale = torch.tensor([[0.5], [1.0], [2.0], [1.5]])
    contents = 0.3 * normal(1, BATCHES, 4, 5)
    put(weight, contents, 0.1)
    wanted = reference(weight, weight.fast.device.granularity * (contents / 0.02), 0.1, 2, 4, past)
    found = dict(weight.named_buffers())
    assert float(wanted["slow.state"].abs().max()) > 0.03
    for key, tensor in wanted.items():
        torch.testing.assert_close(found[key], tensor.float(), atol=2e-4, rtol=2e-4)


def trained(weight: ChainWeight, size: float, lr: float = 0.3) -> ChainWeight:
    for t in range(10):
        weight.update(normal(t, BATCH, 5), size * normal(100 + t, BATCH, 4), lr)
    return weight


@pytest.mark.few(2)
@ON_EVERY_ENGINE
def test_gradients_of_another_size_give_the_same_pulses(engine: EngineParameters) -> None:
    """A power of two scales exactly; with c-TTv2 as well, because both leave that to the pulses' own scale."""
    small, large = (
        trained(built(replace(basic(TTAdam), transfer_lr=1.0), engine), size) for size in (1.0, 8.0)
    )
    assert float(small.slow.pulses_given.sum()) > 20
    for name in ("fast.state", "slow.state", "transfer_0.second", "transfer_0.held"):
        torch.testing.assert_close(dict(small.named_buffers())[name], dict(large.named_buffers())[name])


@pytest.mark.few(2)
@ON_EVERY_ENGINE
def test_contents_of_another_size_give_the_same_pulses_too(engine: EngineParameters) -> None:
    """Where A holds ten times as much, c-TTv2 writes ten times as many pulses, and this rule the same."""
    contents = 0.05 * normal(1, BATCHES, 4, 5).clamp(-1.9, 1.9)  # ten times as much is within the bounds
    rules = {
        "adam": basic(TTAdam, transfer_lr=0.2, in_chop_prob=0.0, eps=1e-6),
        "plain": basic(CTTv2, buffer_granularity=0.1, in_chop_prob=0.0, forget_buffer=False),
    }
    slow: dict[str, list[Tensor]] = {}
    for name, rule in rules.items():
        for size in (1.0, 10.0):
            weight = built(rule, engine, 1e-5)
            put(weight, size * contents, 0.1)
            slow.setdefault(name, []).append(weight.slow.weight)
    torch.testing.assert_close(*slow["adam"], atol=2e-5, rtol=0)
    assert float(slow["adam"][0].abs().max()) > 0.01
    assert float(slow["plain"][1].norm() / slow["plain"][0].norm()) > 5


@ON_EVERY_ENGINE
@pytest.mark.parametrize("beta2", [0.0, 0.9])
def test_a_constant_signal_moves_every_weight_by_the_rate(beta2: float, engine: EngineParameters) -> None:
    """Whatever its size: by ``lr transfer_lr`` logical weight per mini-batch, in units of the mapping's scale."""
    weight = built(basic(TTAdam, beta2=beta2, transfer_lr=0.2, in_chop_prob=0.0, eps=1e-6), engine, 1e-4)
    weight.scale = torch.full((4, 1), 2.0)
    content = torch.logspace(-2, -0.2, 20).view(4, 5) * normal(1, 4, 5).sign()
    reads = BATCHES * BATCH // 2  # 78, of five columns in turn
    put(weight, content.expand(BATCHES, 4, 5), 0.1)
    each = torch.tensor([reads // 5 + (j < reads % 5) for j in range(5)])
    per_read = 0.1 * 0.2 / (BATCH / (2 * 5))
    moved = weight.slow.weight * 2.0
    torch.testing.assert_close(moved, content.sign() * per_read * each, atol=2.1e-4, rtol=1e-3)


@ON_EVERY_ENGINE
def test_rows_that_are_read_instead_of_columns_take_the_scale_of_their_rows(engine: EngineParameters) -> None:
    rule = basic(TTAdam, transfer_lr=0.2, in_chop_prob=0.0, eps=1e-6, transfer_columns=False)
    weight = built(rule, engine, 1e-4)
    weight.scale = torch.tensor([[0.5], [1.0], [2.0], [1.5]])
    for _ in range(BATCHES):
        weight.fast.set_weight(torch.full((5, 4), 0.2))
        weight.update(torch.zeros(BATCH, 5), torch.zeros(BATCH, 4), 0.1)
    logical = weight.weight * weight.scale
    reads = BATCHES * BATCH // 2
    each = torch.tensor([[reads // 4 + (j < reads % 4)] for j in range(4)])
    wanted = (0.1 * 0.2 / (BATCH / 8) * each).expand(4, 5)
    torch.testing.assert_close(logical, wanted, atol=2.1e-4, rtol=1e-3)


@ON_EVERY_ENGINE
def test_factors_of_the_mean_square_follow_their_formulas(engine: EngineParameters) -> None:
    """C_j: the mean square of a column's reads; R_i: the row's share in it; both move at the end of a mini-batch."""
    weight = built(basic(TTAdam, normalise="factored", transfer_lr=0.2, in_chop_prob=0.0, beta2=0.8), engine)
    state, step = weight.states[0], weight.slow.device.granularity
    contents = 0.3 * normal(1, BATCHES, 4, 5)
    rows, columns, written = torch.zeros(4), torch.zeros(5), torch.zeros(4, 5)
    reads_so_far = torch.zeros(5)
    b = 0.8 ** (1 / (BATCH / (2 * 5)))
    samples = 0
    for content in contents:
        weight.fast.set_weight(content)
        v = weight.fast.weight.clone()
        root = (rows.unsqueeze(-1) * columns).sqrt()
        each = torch.bincount(torch.arange(samples // 2, (samples + BATCH) // 2) % 5, minlength=5)
        samples += BATCH
        weight.update(torch.zeros(BATCH, 5), torch.zeros(BATCH, 4), 0.1)
        rate = 0.1 * 0.2 / (BATCH / 10) / step
        written += torch.where(root > 0, rate * each * v / (root + 1e-3 * 0.02), 0.0)
        reads_so_far += each
        columns += (1 - b**each) / (1 - b**reads_so_far) * (v.square().mean(0) - columns)
        share = (each * v.square()).sum(-1) / (each * columns).sum()
        rows += (1 - b ** each.float().mean()) / (1 - b ** reads_so_far.mean()) * (share - rows)
        torch.testing.assert_close(state.column_factor, columns, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(state.row_factor, rows, atol=1e-5, rtol=1e-4)
    assert float(written.abs().max()) > 30
    torch.testing.assert_close(weight.slow.weight / step + state.held, written, atol=2e-2, rtol=1e-3)


@ON_EVERY_ENGINE
def test_factors_are_exact_where_the_mean_square_is_a_product(engine: EngineParameters) -> None:
    """Of rank one, as outer products of a typical x and d are: every device then gets steps of the same size."""
    weight = built(
        basic(TTAdam, normalise="factored", transfer_lr=0.2, in_chop_prob=0.0, eps=1e-6), engine, 1e-4
    )
    size = torch.logspace(-1, 0, 4).unsqueeze(-1) * torch.logspace(-1, 0, 5)
    put(weight, (size * normal(1, 4, 5).sign()).expand(BATCHES, 4, 5), 0.1)
    moved = weight.slow.weight.abs() / weight.slow.weight.abs().mean(0)
    assert float(weight.slow.weight.abs().min()) > 0.1
    torch.testing.assert_close(moved, torch.ones(4, 5), atol=5e-3, rtol=0)


@ON_EVERY_ENGINE
def test_factors_go_on_after_a_checkpoint_with_the_same_bits(engine: EngineParameters) -> None:
    rule = basic(TTAdam, normalise="factored", transfer_lr=1.0)
    weights, factories = [], []
    for _ in range(2):
        made = factory(soft(0.05), engine=engine)
        weight = rule.build((4, 5), made)
        assert isinstance(weight, ChainWeight)
        weights.append(trained(weight, 1.0))
        factories.append(made)
    saved, streams = deepcopy(weights[0].state_dict()), deepcopy(factories[0].draws.state_dict())
    trained(weights[0], 1.0)
    trained(weights[1], 2.0)  # some other state
    weights[1].load_state_dict(saved)
    factories[1].draws.load_state_dict(streams)
    trained(weights[1], 1.0)
    first, second = (dict(weight.named_buffers()) for weight in weights)
    assert {"transfer_0.row_factor", "transfer_0.column_factor"} < first.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_factors_of_crossbars_side_by_side_are_their_own() -> None:
    """Where nothing is read but zeros nothing is known of them, whatever happens next door."""
    weight = replace(basic(TTAdam, normalise="factored"), transfer_io="perfect").build(
        (2, 4, 5), factory(soft(0.05))
    )
    assert isinstance(weight, ChainWeight)
    for t in range(4):
        x, d = normal(t, 2, 7, 5), normal(50 + t, 2, 7, 4)
        d[0] = 0
        weight.update(x, d, 0.3)
    state = weight.states[0]
    assert not state.column_factor[0].any() and not state.row_factor[0].any()
    assert state.column_factor[1].all() and state.row_factor[1].all()


def test_factors_need_memory_for_rows_and_columns_only() -> None:
    weight = built(basic(TTAdam, normalise="factored"), ENGINES[0])
    assert weight.cost()["digital_memory"] == 20 + 4 + 5


def test_a_weight_that_is_written_anew_begins_its_mean_anew() -> None:
    """The first read after that counts alone, as the first one ever did."""
    weight = built(basic(TTAdam, in_chop_prob=0.0), ENGINES[0])
    put(weight, 0.5 * normal(1, 3, 4, 5), 0.1)
    weight.set_weight(torch.zeros(4, 5))
    content = 0.1 * normal(2, 4, 5)
    put(weight, content.unsqueeze(0), 0.1)
    torch.testing.assert_close(weight.states[0].second, content.square())  # 6 reads: the first column twice


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"auto_granularity": 300.0}, r"auto_granularity: must be 0.0 with normalise=device, got 300.0"),
        ({"buffer_granularity": 2.0}, r"buffer_granularity: must be 1.0 with normalise=device, got 2.0"),
        ({"correct_gradient_magnitudes": True}, r"correct_gradient_magnitudes: must be False with"),
        ({"thres_scale": 1.0}, r"thres_scale: must be 0 with normalise=device, got 1.0"),
        ({"beta2": 1.0}, r"beta2: must be a number in \[0, 1\), got 1.0"),
        ({"eps": 0.0}, r"eps: must be a number > 0, got 0.0"),
    ],
)
def test_keys_that_have_no_part_in_it_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        basic(TTv2, **({"normalise": "device"} | keys))
