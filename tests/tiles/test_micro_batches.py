"""A mini-batch in pieces: the same training, with the pulses of one piece at a time in memory."""

import numpy as np
import pytest
import torch
from tests import expect
from tests.tiles.test_windows import IDEAL, KINDS, REGULAR, SEVERAL, trained

from crossweep.algorithms.agad import AGAD
from crossweep.algorithms.analog_sgd import AnalogSGD
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.algorithms.cttv2 import CTTv2
from crossweep.algorithms.rider import RIDER
from crossweep.algorithms.rlv2 import RLv2
from crossweep.algorithms.tt_adam import TTAdam
from crossweep.algorithms.ttv1 import TTv1
from crossweep.bench.basic import basic
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine.base import EngineParameters
from crossweep.engine.cpu import words
from crossweep.engine.pulse_plan import UpdateParameters, micro_batches

CERTAIN = basic(UpdateParameters, pulse_type="deterministic_implicit", desired_bl=7)
RULES: dict[str, AbstractAlgorithm] = {
    "analog_sgd": basic(AnalogSGD, update=CERTAIN),
    "cttv2": basic(CTTv2, update=CERTAIN, auto_granularity=40.0, **REGULAR),
    "adam": basic(TTAdam, update=CERTAIN, transfer_lr=0.1, **REGULAR),
    "factored": basic(TTAdam, update=CERTAIN, transfer_lr=0.1, normalise="factored", **REGULAR),
    "rider": basic(RIDER, update=CERTAIN, auto_granularity=40.0),
    "agad_rows": basic(AGAD, update=CERTAIN, auto_granularity=40.0, transfer_columns=False, **REGULAR),
    "chain": basic(
        TTv1, update=CERTAIN, n_tiles=3, gamma=0.4, transfer_every_vec=(1.0, 5.0), transfer_update=SEVERAL
    ),
    "rlv2": basic(RLv2, update=CERTAIN, gamma=0.1, transfer_update=SEVERAL),
}


@pytest.mark.parametrize(("batch", "most"), [(10, 3), (9, 3), (1, 5), (7, 0), (0, 0)])
def test_pieces_cover_the_mini_batch_once(batch: int, most: int) -> None:
    sizes = np.diff([0, *micro_batches(batch, most)])
    assert sizes.sum() == batch
    assert most == 0 or sizes.max() <= most
    assert (sizes[:-1] == most).all()


@pytest.mark.few(3)
@pytest.mark.parametrize("name", RULES)
def test_pieces_train_as_the_whole_where_nothing_is_drawn(name: str) -> None:
    """Samples follow one another anyway: with certain pulses every state, buffer and counter is the same."""
    device = basic(SoftBounds, dw_min=0.02, **IDEAL)
    whole, pieces = (
        trained(RULES[name], basic(EngineParameters, level="pulse", micro_batch=most), device=device)
        for most in (0, 7)
    )
    first, second = (dict(weight.named_buffers()) for weight in (whole, pieces))
    assert sum(float(first[key].sum()) for key in first if key.endswith("pulses_given")) > 1000
    for key, tensor in first.items():
        torch.testing.assert_close(
            tensor, second[key], atol=1e-5, rtol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert whole.counters() == pieces.counters()


@pytest.mark.parametrize(
    "rule", [basic(CTTv2, auto_granularity=40.0), basic(AnalogSGD)], ids=["cttv2", "analog_sgd"]
)
def test_no_more_pulses_are_drawn_at_once(rule: AbstractAlgorithm, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = words._draw
    monkeypatch.setattr(words, "_draw", lambda sides: drawn.append(sides[0].bl.size) or draw(sides))
    trained(rule, basic(EngineParameters, level="count", micro_batch=16), batches=(50, 1))
    assert drawn == [16, 16, 16, 2, 1]


def test_pieces_draw_as_many_pulses_as_the_whole() -> None:
    rule = basic(AnalogSGD, update=basic(UpdateParameters, desired_bl=5))

    def states(most: int) -> torch.Tensor:
        engine = basic(EngineParameters, level="count", micro_batch=most)
        runs = (
            trained(rule, engine, seed, (50,), KINDS["constant"])
            for seed in range(100 * most, 100 * most + 60)
        )
        return torch.stack([dict(weight.named_buffers())["single.state"] for weight in runs])

    whole, pieces = states(0), states(8)
    both = torch.cat((whole, pieces)).mean(0)
    for moment in (1, 2):  # pulses couple the devices of a line: only whole runs are independent
        expect.same_mean(*(((each - both) ** moment).sum((-1, -2)) for each in (whole, pieces)))
