"""Exact states: every recorded trace of the peer simulator is followed to 1e-5, more than 500 samples
each.
"""

from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet
from torch import Tensor

from crossweep.algorithms.base import AnalogWeight
from crossweep.algorithms.chain_weight import ChainWeight
from crossweep.algorithms.mixed_precision import MixedPrecisionWeight
from crossweep.engine.choose import Backend
from tests.algorithms.traces import FOLDER, Trace, build
from tests.some import some

pytestmark = pytest.mark.reference
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
# what crossweep does not do, and why
LEFT_OUT = {
    "analog_sgd_free_bl": "a train longer than desired_bl without management (fixed_bl = False)",
    "analog_sgd_implicit_resolution": "two different bin widths of implicit pulses",
    "ttv1_reset": "a random reset of columns of A after their read",
}
# always run; `-m slow` runs the others too
CORE = {
    *(
        "agad_auto_scale",
        "agad_every_2_rows",
        "agad_random",
        "analog_sgd_pulse_trains",
        "cttv2_batch",
        "cttv2_gamma",
    ),
    *("cttv2_correct_magnitudes_auto", "cttv2_out_chopper", "cttv2_regular", "mixed_precision_batch_every_2"),
    *("ttv1_three_arrays_rows", "ttv2_keep_buffer_momentum", "ttv2_many_pulses", "ttv2_two_reads"),
}
STATE = {
    "H": "transfer_0.held",
    "running_mean": "transfer_0.mean",
    "past_mean": "transfer_0.past",
    "chi": "chi",
}
TOLERANCE = 1e-5  # relative where a number exceeds 1


def states(weight: AnalogWeight, names: list[str]) -> dict[str, Tensor]:
    """State by the names of the recordings, rows as rows again."""
    tiles = [tile.weight for tile in weight.tiles().values()]
    roles = ["C"] if len(tiles) == 1 else ["A", *(f"A{i}" for i in range(1, len(tiles) - 1)), "C"]
    found = dict(zip(roles, tiles, strict=True))
    buffers = dict(weight.named_buffers())
    found |= {new: buffers[old] for new, old in STATE.items() if old in buffers}
    if isinstance(weight, ChainWeight) and not weight.rule.transfer_columns:
        found = {name: tensor.T for name, tensor in found.items()}
    if "H" in found and getattr(weight.rule, "thres_scale", 0):
        found["H"] = found["H"] * weight.rule.thres_scale * weight.slow.device.granularity
    return {name: tensor for name, tensor in (found | {"visible": weight.weight}).items() if name in names}


def play(trace: Trace, weight: AnalogWeight) -> Iterator[int]:
    """Run the updates, yielding their number (from 1); random choppers flip as they did in the recording."""
    if isinstance(weight, MixedPrecisionWeight):
        yield from play_late(trace, weight)
        return
    for t, (x, d, lr) in enumerate(trace.updates()):
        if isinstance(weight, ChainWeight) and "in_chopper" in trace.arrays:
            flips = {
                name: trace.flips(f"{side}_chopper")[t] for name, side in (("columns", "in"), ("rows", "out"))
            }
            weight.flips = RecordedFlips(flips)  # type: ignore[assignment]
        weight.update(x, d, lr)
        yield t + 1


class RecordedFlips:
    """Stands in for the stream of the choppers: draws that flip exactly the recorded ones."""

    def __init__(self, flips: dict[str, Tensor], name: str = "") -> None:
        self.flips, self.name = flips, name

    def fork(self, name: str) -> "RecordedFlips":
        return RecordedFlips(self.flips, name)

    def uniform(self, *shape: int, like: Tensor) -> Tensor:
        return (1.0 - self.flips[self.name].to(like.dtype)).expand(shape)


def play_late(trace: Trace, weight: MixedPrecisionWeight) -> Iterator[int]:
    """The peer's CPU engine transfers after the first sample of the next mini-batch; so the order is driven
    here.
    """
    seen = 0
    for t, (x, d, lr) in enumerate(trace.updates()):
        if lr == 0:
            yield t + 1
            continue
        every = weight.rule.transfer_every * len(x)
        for one_x, one_d in zip(x.split(1), d.split(1), strict=True):
            weight.accumulate(one_x, one_d, lr)
            if seen and seen % every == 0:
                weight.transfer()
            seen += 1
        yield t + 1


def cases() -> list[ParameterSet]:
    names = [n for n in NAMES if n not in LEFT_OUT]
    return some(names, *CORE)


@pytest.mark.few(each="name backend")
@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", cases())
def test_trace(name: str, backend: Backend) -> None:
    trace = Trace.load(name)
    weight = build(trace, backend)
    kept = {int(step): i for i, step in enumerate(trace.arrays["steps"])}
    names = [
        n for n in ("A", "A1", "C", "H", "running_mean", "past_mean", "chi", "visible") if n in trace.arrays
    ]
    if not trace.meta["case"]["check_visible"]:
        names.remove("visible")  # the peer's index layout is wrong there unless all choppers are equal
    for step in play(trace, weight):
        if step not in kept:
            continue
        ours = states(weight, names)
        assert set(ours) == set(names)
        for key, tensor in ours.items():
            recorded = trace.tensor(key)[kept[step]]
            off = ((tensor - recorded).abs() / recorded.abs().clamp(min=1)).max().item()
            assert off < TOLERANCE, f"{key} after update {step}: off by {off:.2g}"


def test_traces_are_long_enough() -> None:
    for name in NAMES:
        x = Trace.load(name).arrays["x"]
        assert x.shape[0] * x.shape[1] >= 500, name


def test_left_out_traces_exist() -> None:
    assert set(LEFT_OUT) | CORE <= set(NAMES)
