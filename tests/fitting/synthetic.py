"""Made measurements: the real device models, pulsed and read with noise."""

from pathlib import Path

import numpy as np
import torch

from crossweep.devices.base import AbstractDevice
from crossweep.devices.response import pulse
from crossweep.rng import Stream

READING = 0.01  # noise of a reading [w]


def pulse_trains(
    device: AbstractDevice, devices: int, seed: int, *, trains: int = 4, pulses: int = 120
) -> tuple[np.ndarray, np.ndarray]:
    """Signed pulses before each reading [t] and readings [devices, t] of alternating up and down trains."""
    stream = Stream(seed)
    cells = device.draw((1, devices), stream.fork("cells"))
    v = torch.full((1, devices), -0.7)
    given, path = [0], [v]
    for train in range(trains):
        sign = 1 if train % 2 == 0 else -1
        for _ in range(pulses):
            noise = stream.fork("noise").normal(1, devices, like=v)
            v = pulse(device.response(cells), v, torch.full_like(v, float(sign)), cells, noise)
            given.append(sign)
            path.append(v)
    w = torch.cat(path).T.double().numpy()
    return np.array(given), w + READING * np.random.default_rng(seed).standard_normal(w.shape)


def write_csv(path: Path, pulses: np.ndarray, w: np.ndarray, *, unit: str = "uS", lost: float = 0.0) -> Path:
    """As it would be saved: 10 +- 6 microsiemens, each train numbered from 1, some readings lost."""
    rng, factor = np.random.default_rng(0), {"uS": 1.0, "S": 1e-6}[unit]
    lines = [f"device id,pulse number,polarity,conductance [{unit}]"]
    for device, row in enumerate(w):
        n = 0
        for k, (sign, value) in enumerate(zip(pulses, row, strict=True)):
            n = 0 if k == 0 else (n + 1 if sign == pulses[k - 1] else 1)
            word = {1: "P", -1: "D", 0: ""}[int(sign)]
            reading = "" if k and rng.uniform() < lost else f"{factor * (10 + 6 * value):.9g}"
            lines.append(f"D{device},{n},{word},{reading}")
    path.write_text("\n".join(lines) + "\n")
    return path
