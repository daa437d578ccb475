"""Known truths over noise, reading interval, cycles, devices and models: what a fit makes of each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from crossweep.devices import response
from crossweep.devices.base import AbstractDevice, Cells
from crossweep.errors import ConfigError
from crossweep.fitting.candidates import Candidate, choose
from crossweep.fitting.fit import DeviceFit
from crossweep.fitting.scale import Scale
from crossweep.fitting.selection import fit_all
from crossweep.fitting.trains import Trains
from crossweep.rng import Stream
from tests import expect
from tests.devices import catalogue

MODELS = {
    "constant_step": {"dw_min": 0.02, "up_down": 0.1},
    "soft_bounds": {"dw_min": 0.04, "up_down": 0.1},
    "linear_step": {"dw_min": 0.04, "up_down": 0.1, "gamma_up": 0.6, "gamma_down": 0.4},
    "pow_step": {"dw_min": 0.16, "up_down": -0.1},
    "exp_step": {"dw_min": 0.04, "up_down": 0.1},
}
NOISES = (0.0, 0.001, 0.01, 0.05)  # of a reading [range]
EVERY = (1, 2, 5, 10)  # pulses between readings
CYCLES = (1, 3, 25)
DEVICES = (1, 5)
LENGTH = 50  # pulses of a train
SPREADS = {"dw_min_dtod": 0.1, "up_down_dtod": 0.02, "w_max_dtod": 0.05, "w_min_dtod": 0.05}
# candidates of every file: the kind that made it, and kinds that look like it
RIVALS = ("soft_bounds", "linear_step", "exp_step")


@dataclass(frozen=True)
class Case:
    """One made measurement."""

    model: str
    noise: float
    every: int
    cycles: int
    devices: int

    def device(self) -> AbstractDevice:
        """The mean device, and its spreads where several are measured."""
        spreads = SPREADS if self.devices > 1 else {}
        noise = {"dw_min_std": 0.3 if self.noise else 0.0}
        return catalogue.alike(self.model, **(MODELS[self.model] | spreads | noise))

    def candidates(self) -> tuple[Candidate, ...]:
        """What is compared."""
        return choose([self.model, *(name for name in RIVALS if name != self.model)])


def measured(case: Case, seed: int = 0) -> tuple[AbstractDevice, Cells, list[Trains]]:
    """The device, its drawn cells and what a laboratory would read."""
    device, stream = case.device(), Stream(seed)
    cells = device.draw((1, case.devices), stream.fork("cells"))
    law, v = device.response(cells), torch.full((1, case.devices), -0.7)
    given, path, pending = [0], [v], 0
    for train in range(2 * case.cycles):
        sign = 1 if train % 2 == 0 else -1
        for n in range(1, LENGTH + 1):
            noise = stream.fork("noise").normal(1, case.devices, like=v)
            v = response.pulse(law, v, torch.full_like(v, float(sign)), cells, noise)
            pending += sign
            if n % case.every == 0:
                given.append(pending)
                path.append(v)
                pending = 0
    w = torch.cat(path).T.double().numpy()
    w = w + 2 * case.noise * np.random.default_rng(seed).standard_normal(w.shape)
    fresh = np.arange(len(given)) == 0
    return (
        device,
        cells,
        [Trains(f"D{k}", np.array(given), 1e-5 + 6e-6 * row, fresh) for k, row in enumerate(w)],
    )


def outcome(case: Case, seed: int = 0) -> str:
    """``right: model``, ``refused: why``, or ``WRONG: what``."""
    device, cells, trains = measured(case, seed)
    try:
        found = fit_all(Path("made"), trains, Scale(1e-5, 6e-6), case.candidates())
    except ConfigError as error:
        return f"refused: {error}"
    own = [
        Cells.from_tensors({name: t[:, k : k + 1] for name, t in cells.tensors().items()})
        for k in range(case.devices)
    ]
    wrong = [
        next(filter(None, (_wrong(one, device, c, case) for one, c in zip(model.fits, own, strict=True))), "")
        for model in found.likeliest
    ]
    # what the data cannot tell apart is said, so one of the models named has to be right
    return (
        f"right: {found.best.candidate.label}"
        if "" in wrong
        else f"WRONG: {found.best.candidate.label}, {wrong[0]}"
    )


def _wrong(one: DeviceFit, device: AbstractDevice, cells: Cells, case: Case) -> str:
    """What lies outside of its interval; t for the fewest degrees of freedom."""
    free = max(int(np.isfinite(one.residuals).sum()) - one.x.size, 2)
    z = float(stats.t.isf(expect.FALSE_ALARM / 2, free))
    low, high = one.readings.ends
    for share in (0.25, 0.5, 0.75):
        v = low + share * (high - low)
        for up in (True, False):
            truth = float(response.step(device.response(cells), torch.full((1, 1), v), up=up))
            error = one.step_error(v, up=up)
            # an interval of the logarithm is that of the step where the step is well known
            near = abs(np.log(max(one.step(v, up=up), 1e-12) / truth)) * max(truth, one.step(v, up=up))
            if not min(near, abs(one.step(v, up=up) - truth)) < z * error + 2e-3 * truth:
                return f"step {'up' if up else 'down'} at {v:.2f} {one.step(v, up=up):.4g} +- {error:.2g} for {truth:.4g}"
    truths = {"reading_noise": 2 * case.noise}
    if one.candidate.additive != getattr(device, "mult_noise", True) or case.model == "constant_step":
        truths["cycle_noise"] = device.dw_min_std
    for name, truth in truths.items():
        least, most = one.noise(name, z**2 / 2)
        if not least <= max(truth, one.readings.floor) * 1.01 <= most * 1.02:
            return f"{name} {least:.3g} .. {most:.3g} for {truth:.4g}"
    return ""
