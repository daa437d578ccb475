"""Where the faster levels stop being faithful: moments of one update, ``count`` and ``mean`` against ``pulse``."""

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor

from crossweep.bench.basic import basic
from crossweep.bench.table import Row, Rows
from crossweep.devices.base import AbstractDevice
from crossweep.devices.constant_step import ConstantStep
from crossweep.devices.exp_step import ExpStep
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.pow_step import PowStep
from crossweep.devices.soft_bounds import SoftBounds
from crossweep.engine.base import Crossbar, Engine, EngineParameters, Level
from crossweep.engine.choose import engine
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.rng import Stream

SIZE = 64  # side of the crossbar
START = 0.4  # [w]; off both the bound and the symmetry point
UPDATE = basic(UpdateParameters)
ALIKE: dict[str, Any] = {
    "dw_min_dtod": 0.0,
    "up_down_dtod": 0.0,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
    "w_max": 1.0,
    "w_min": -1.0,
}
SOFT = [  # step [w], pulse noise [step], samples, wanted pulses at the strongest cross-point
    (0.0005, 0.3, 256, 15.5),
    (0.01, 0.3, 1, 31.0),
    (0.01, 0.3, 256, 15.5),
    (0.01, 0.5, 1024, 15.5),
    (0.02, 0.3, 256, 15.5),
    (0.1, 0.0, 3, 31.0),
    (0.1, 0.5, 16, 5.0),
    (0.1, 0.5, 64, 15.5),
    (0.1, 0.5, 64, 0.4),
]

CURVED = [(0.01, 0.3, 32, 15.5), (0.1, 0.5, 32, 5.0)]
Make = Callable[..., AbstractDevice]


def by_case() -> Rows:
    """Deviation of mean and standard deviation from ``pulse``; all levels see the same samples."""
    curved: tuple[tuple[str, Make], ...] = (
        ("linear_step", lambda **kw: basic(LinearStep, **ALIKE, **kw, gamma_up=0.5, gamma_down=0.3)),
        ("exp_step", lambda **kw: basic(ExpStep, **ALIKE, **kw)),
        ("pow_step", lambda **kw: basic(PowStep, **ALIKE, **kw)),
        ("constant_step", lambda **kw: basic(ConstantStep, **ALIKE, **kw)),
    )
    cases: list[tuple[str, Make, tuple[float, float, int, float]]] = [
        ("soft_bounds", lambda **kw: basic(SoftBounds, **ALIKE, **kw), case) for case in SOFT
    ]
    cases += [(name, make, case) for name, make in curved for case in CURVED]
    rows = []
    for name, make, (step, noise, samples, pulses) in cases:
        device = make(dw_min=step, dw_min_std=noise)
        rows.append(
            {
                "device": name,
                "states": round(2 / step),
                "pulse noise": noise,
                "samples": samples,
                "wanted pulses": pulses,
                **deviations(device, samples, pulses),
            }
        )
    return rows


def deviations(device: AbstractDevice, samples: int, pulses: float) -> Row:
    """Mean [% of the range] and standard deviation [%] of the new state, relative to level ``pulse``.

    The samples are of one size, x = +-0.7 with random signs and d = 0.4, so that the devices of the diagonal
    are independent and alike.
    """
    stream = Stream(0, "fidelity")
    draws = 200 if samples <= 64 else 60
    bar = Crossbar(device, device.draw((SIZE, SIZE), stream.fork("cells")))
    found = {}
    for level in get_args(Level):
        made = engine(basic(EngineParameters, level=level))
        found[level] = _states(made, device, bar, samples, pulses, stream.fork(level), draws)
    exact, span = found["pulse"], device.w_max - device.w_min
    # relaxation: how much of its past a device forgets in the mini-batch
    row: Row = {"relaxation": samples * pulses * device.relative_step}
    for level in ("count", "mean"):
        states = found[level]
        row[f"{level}: mean [% of range]"] = 100 * float(states.mean() - exact.mean()) / span
        row[f"{level}: std [%]"] = 100 * (float(states.std() / exact.std()) - 1)
    row["error of mean"] = 100 * float(exact.std()) * (2 / exact.numel()) ** 0.5 / span
    row["error of std"] = 100 / exact.numel() ** 0.5
    return row


def _states(
    made: Engine,
    device: AbstractDevice,
    bar: Crossbar,
    samples: int,
    pulses: float,
    stream: Stream,
    draws: int,
) -> Tensor:
    """States of the diagonal, whose devices share no line: [draws, SIZE]."""
    d, rates = torch.full((samples, SIZE), 0.4), torch.full((samples,), pulses * device.granularity / 0.28)
    start, states = torch.full((SIZE, SIZE), START), []
    for i in range(draws):
        signs = stream.fork("signs").normal(samples, SIZE, like=d).sign()
        plan = plan_pulses(0.7 * signs, d, rates, device.granularity, UPDATE)
        moved, _ = made.update(start, plan, bar, UPDATE, stream.fork(str(i)))
        states.append(moved.diagonal().double())
    return torch.stack(states)
