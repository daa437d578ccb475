"""Peak memory of one training step, in a process of its own: ``python -m crossweep.bench.memory MODEL BATCH [...]``."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from crossweep.bench import steps
from crossweep.bench.table import Rows

_MEGABYTE = 1e6


def state_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_of_step(model: nn.Module, batch: int) -> float:
    """Bytes that one step on the CPU needs at its highest, beyond what lies in memory before it.

    This is the high-water mark of the process, which Linux can set back.
    """
    steps.stepper(model, 2)()  # compile, and make what stays
    step = steps.stepper(model, batch)
    step()  # momentum
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    step()
    return float(_resident("VmHWM") - before)


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def by_model() -> Rows:
    """Peak memory of a step, relative to the digital model's; empty where the system does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return []
    rows: Rows = []
    for name, batch in (("swin_micro", 64), ("swin_tiny", 16)):
        digital = measured(name, batch)
        for rule, level, bl in (("cttv2", "count", 5), ("cttv2", "count", 31), ("analog_sgd", "count", 31)):
            analog = measured(name, batch, rule, level, str(bl))
            rows.append(
                {
                    "x digital": analog["peak"] / digital["peak"],
                    "model": f"{name}, batch {batch}",
                    "rule": rule,
                    "level": level,
                    "BL": bl,
                    "MB": analog["peak"] / _MEGABYTE,
                    "digital MB": digital["peak"] / _MEGABYTE,
                    "state MB": analog["state"] / _MEGABYTE,
                }
            )
    return rows


def measured(name: str, batch: int, *setting: str) -> dict[str, float]:
    """``peak`` and ``state`` [byte] of a model, or of its analog copy with ``setting`` (rule, level, slots)."""
    command = [sys.executable, "-m", "crossweep.bench.memory", name, str(batch), *setting]
    # freed tensors go back to the system at once, or the mark would not show what the next step needs
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    result: dict[str, float] = json.loads(answer.splitlines()[-1])
    return result


def main(arguments: list[str]) -> None:
    """Print the peak and the state of one model as JSON."""
    torch.manual_seed(0)
    name, batch, *setting = arguments
    model = steps.digital_model(name)
    if setting:
        rule, level, bl = setting
        model = steps.analog_model(model, rule, level, int(bl), "perfect")
    print(json.dumps({"peak": peak_of_step(model, int(batch)), "state": state_bytes(model)}))


if __name__ == "__main__":
    main(sys.argv[1:])
