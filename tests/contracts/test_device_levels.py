"""Every device of the configuration under the levels of fidelity: they agree on mean and spread."""

import pytest
import torch

from crossweep.bench.basic import basic
from crossweep.devices.symmetry_point import SymmetryPoint
from crossweep.engine.base import EngineParameters
from crossweep.engine.choose import engine as made
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.rng import Stream
from crossweep.tiles.analog_tile import AnalogTile, TileParameters
from crossweep.tiles.unit_cells import UnitCellTile
from tests import expect
from tests.algorithms.rigs import COUNT, MEAN, PULSE
from tests.devices import catalogue

# coarse or very noisy devices leave the range of the closed forms; the fidelity table states by how much
FINE = [n for n in catalogue.NAMES if catalogue.load(n).states > 100 and catalogue.load(n).dw_min_std <= 2]
INSTANCES = 400


@pytest.mark.few(each="name")
@pytest.mark.parametrize("engine", [COUNT, MEAN], ids=["count", "mean"])
@pytest.mark.parametrize("name", FINE)
def test_levels_agree_with_the_sequential_reference(name: str, engine: EngineParameters, rng: Stream) -> None:
    device = catalogue.alike(name, write_noise_std=0.0)
    like, update = torch.empty(0), basic(UpdateParameters, desired_bl=15)
    x = rng.fork("x").normal(24, 2, like=like).expand(INSTANCES, 24, 2)
    d = rng.fork("d").normal(24, 2, like=like).expand(INSTANCES, 24, 2)
    changes = []
    for one in (PULSE, engine):
        parts = TileParameters(
            device=device, symmetry_point=basic(SymmetryPoint, subtract=False), engine=made(one)
        )
        kind = UnitCellTile if device.n_devices > 1 else AnalogTile
        streams = rng.fork(type(one).__name__)
        tile = kind((INSTANCES, 2, 2), parts, population=Stream(1), draws=streams)
        tile.set_weight(torch.full((INSTANCES, 2, 2), 0.2))
        tile.update(plan_pulses(x, d, 0.5 * device.granularity, device.granularity, update), update)
        changes.append(tile.weight - 0.2)
    for i in range(2):
        for j in range(2):
            reference, fast = (change[:, i, j] for change in changes)
            expect.same_mean(reference, fast, slack=0.03 * float(reference.std()))
            expect.same_std(reference, fast, slack=0.1)
