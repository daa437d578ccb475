"""Tables of measured changes: what is in the file is what the device does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy import stats

from crossweep.bench.basic import basic
from crossweep.devices.measured import node, read
from crossweep.devices.response import pulse, std, step
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.devices.table import TableStep
from crossweep.devices.table_file import Changes, table
from crossweep.errors import ConfigError
from crossweep.nodes import make
from crossweep.rng import Stream
from tests import expect
from tests.algorithms.rigs import EXACT
from tests.runs import trained

SOFT = basic(
    SoftBounds, **(EXACT | {"dw_min": 0.02, "dw_min_std": 0.4, "up_down": 0.2, "w_max": 1.2, "w_min": -0.9})
)


def changes(device: SoftBounds, n: int = 50, scale: float = 1.0) -> Changes:
    """What a soft-bounds device without spread does, its range scaled."""
    cells = device.draw((1, 1), Stream(0))
    law, states = device.response(cells), torch.linspace(device.w_min, device.w_max, n).unsqueeze(-1)
    both = [
        [f(law, states, up=up).expand_as(states)[:, 0].numpy() for f in (step, std)] for up in (True, False)
    ]
    (up, up_std), (down, down_std) = both
    return Changes(scale * states[:, 0].numpy(), up, down, up_std, down_std)


def built(keys: dict[str, Any]) -> TableStep:
    made = make(node(keys), "device")
    assert isinstance(made, TableStep)
    return made


def test_a_table_of_a_soft_bounds_device_is_that_device() -> None:
    ours, shape = built(table([changes(SOFT)])), (3, 4)
    middle = 0.02 * (1 - 0.15 / 1.2), 0.016 * (1 + 0.15 / 0.9)
    assert ours.granularity == pytest.approx(sum(middle) / 2, rel=1e-4)
    cells, theirs = ours.draw(shape, Stream(1)), SOFT.draw(shape, Stream(1))
    torch.testing.assert_close(ours.symmetry_point(cells), SOFT.symmetry_point(theirs), rtol=1e-3, atol=1e-4)
    mine, soft = ours.response(cells), SOFT.response(theirs)
    v = w = torch.full(shape, -0.5)
    for t in range(300):  # the same path, by the closed form of soft bounds
        direction = torch.full(shape, 1.0 if t % 100 < 70 else -1.0)
        v, w = pulse(mine, v, direction, cells), pulse(soft, w, direction, theirs)
        torch.testing.assert_close(v, w, rtol=0, atol=2e-5)
    n = torch.arange(1, 51)
    bound, share = 1.2, 0.02 / 1.2
    path = [v := torch.zeros(shape)] + [v := pulse(mine, v, torch.ones(shape), cells) for _ in n]
    exact = bound - bound * (1 - share) ** n
    torch.testing.assert_close(torch.stack(path[1:])[:, 0, 0], exact, rtol=1e-4, atol=1e-5)
    for up in (True, False):
        torch.testing.assert_close(std(mine, v, up=up), std(soft, v, up=up).expand(shape), rtol=1e-4, atol=0)


def test_every_device_of_a_crossbar_is_one_of_the_measured(rng: Stream) -> None:
    wide = changes(basic(SoftBounds, **(EXACT | {"dw_min": 0.01, "dw_min_std": 0.1})))
    narrow = changes(
        basic(SoftBounds, **(EXACT | {"dw_min": 0.03, "dw_min_std": 0.1, "w_max": 0.5, "w_min": -0.7}))
    )
    device = built(table([wide, narrow]))
    cells = device.draw((60, 50), rng)
    first = cells.extra["curve"] == 0
    expect.rate(int(first.sum()), 3000, 0.5)
    for here, one in ((first, (0.01, 1.0, -1.0)), (~first, (0.03, 0.5, -0.7))):
        law = device.response(cells)
        for up in (True, False):
            assert step(law, torch.zeros(60, 50), up=up)[here].allclose(torch.tensor(one[0]), rtol=1e-3)
        assert cells.w_max[here].allclose(torch.tensor(one[1])) and cells.w_min[here].allclose(
            torch.tensor(one[2])
        )


def test_a_table_goes_through_its_file(tmp_path: Path) -> None:
    keys = table([changes(SOFT), changes(SOFT, scale=0.8)])
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(keys))
    node = {"_target_": "crossweep.devices.measured.measured", "file": str(file), "fitted": read(str(file))}
    assert make(node, "device") == built(keys)
    finer = make(node | {"n_states": 500}, "device")
    assert finer.states == pytest.approx(500)
    file.write_text("_target_: crossweep.devices.table.TableStep\nup: [[{_target_: os.system}]]\n")
    with pytest.raises(ConfigError, match="must hold numbers, texts and lists of them"):
        read(str(file))


def test_a_device_pulsed_upwards_only_makes_a_pair() -> None:
    states, up = np.linspace(0, 2, 20), 0.05 * (1 - np.linspace(0, 2, 20) / 2.1)
    device = built(table([Changes(states, up, None, 0.1 * up, None)]))
    assert (device.update_policy, device.n_devices, device.w_min, device.w_max) == ("one_sided", 2, 0.0, 2.0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"down": [[1.0, 1.0]]}, "device.down: must have 1 rows of 3 nodes"),
        ({"up_std": [[1.0] * 3] * 2}, "device.up_std: must have 1 rows of 3 nodes"),
        ({"up": [[1.0, -1.0, 1.0]]}, "device.up: must be a list of"),
        ({"up": []}, "device.up: must have a row"),
        ({"down": []}, "device.down: must be given unless update_policy=one_sided"),
        ({"top": [1.0, 1.0]}, "device.top: must have a number for each of 1 rows"),
        ({"up": [[1.0, 0.0, 1.0]], "down": [[1.0, 0.0, 1.0]]}, "must move the device in mid-range"),
    ],
)
def test_a_table_that_is_none_is_one_line(wrong: dict[str, Any], words: str) -> None:
    keys = {"_target_": "crossweep.devices.table.TableStep", "up": [[1.0] * 3], "down": [[1.0] * 3]}
    make(node(keys), "device")
    with pytest.raises(ConfigError, match=words):
        make(node(keys | wrong), "device")


@pytest.mark.parametrize("states", [[1.0, 0.0, 1.0], [1.0]])
def test_states_must_ascend(states: list[float]) -> None:
    flat = np.ones(len(states))
    with pytest.raises(ConfigError, match="must ascend"):
        table([Changes(states, flat, flat, flat, flat)])


@pytest.mark.slow
def test_a_table_of_a_device_trains_to_its_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))
    soft = basic(SoftBounds, **(EXACT | {"dw_min": 0.01, "dw_min_std": 0.3}))
    file = tmp_path / "table.yaml"
    file.write_text(yaml.safe_dump(table([changes(soft)])))
    # bounds alike: with bounds of its own a device is another curve
    alike = (
        "device.w_max_dtod=0.0",
        "device.w_min_dtod=0.0",
        "device.dw_min_dtod=0.3",
        "device.up_down_dtod=0.1",
    )
    short = (
        "model=mlp",
        "model.widths=[32]",
        "training.finetune.epochs=3",
        "training.baseline=[]",
        "quiet=true",
    )
    found = [
        [
            trained(
                tmp_path / f"{way}{seed}", *words, *alike, *short, "evaluation.fresh_devices=0",
                f"seed.device={seed}", f"seed.training={seed}",
            )["metrics"]["test_accuracy"]
            for seed in range(5)
        ]
        for way, words in enumerate((("device=soft_bounds",), ("device=measured", f"device.file={file}")))
    ]  # fmt: skip
    difference = np.subtract(*found)
    assert abs(difference.mean()) <= stats.t.ppf(0.995, 4) * difference.std(ddof=1) / 5**0.5, found
    assert min(map(min, found)) > 0.5
