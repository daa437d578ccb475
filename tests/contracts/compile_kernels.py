"""Compile what a weight's training launches, for a GPU, without one: ``python compile_kernels.py TITLE ...`` of scenes of
``bench.agreement``, or none for all; prints what each kernel takes.

Triton asks its driver for the machine; here that is one that answers for an H100. Arguments are those of the launches
themselves, so that what the launcher does with them is tried as well. Nothing runs: what launches give is arbitrary.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TRITON_INTERPRET"] = "0"

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from crossweep.bench.agreement import LR, Scene, scenes
from crossweep.engine import choose

CPU = torch.device("cpu")


class H100:
    """A driver without a machine."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int | None = None) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return CPU


class Compiled(dict[tuple[str, str], Any]):
    """Kernels by name and hash, instead of launches."""

    def launch(self, kernel: Any, grid: tuple[int, ...]) -> Callable[..., None]:
        """What stands for ``kernel[grid]``."""

        def go(*arguments: Any, **constants: Any) -> None:
            made = kernel.warmup(*arguments, grid=grid, **constants)
            self[kernel.fn.__name__, made.hash] = made

        return go


def resources(made: Any) -> dict[str, int]:
    """Registers of a thread, what spills from them [byte], and shared memory [byte]."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        said = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    return {name.lower(): int(number) for name, number in re.findall(r"\b(REG|STACK|SHARED):(\d+)", said)}


def train(scene: Scene) -> None:
    """Three mini-batches, of sizes that make another constant of what Triton specialises."""
    weight, (d, x) = scene.weight("cuda", CPU), scene.shape
    for samples in (16, 5, 1):
        own = Scene(**(vars(scene) | {"samples": samples}))
        inputs, errors = own.values("x", x), own.values("d", d)
        weight.read(inputs)
        weight.read_transposed(errors)
        weight.update(inputs, errors, LR)


def main(titles: list[str]) -> None:
    driver.set_active(H100())
    choose.interpreted = lambda: True  # type: ignore[assignment]  # to work on the CPU's tensors
    compiled = Compiled()
    JITFunction.__getitem__ = lambda kernel, grid: compiled.launch(kernel, grid)  # noqa: PLW0108  (binds the kernel)
    for scene in scenes():
        if not titles or scene.title in titles:
            train(scene)
    for (name, _), made in sorted(compiled.items()):
        taken = resources(made)
        print(f"{name}: {taken}{', spilled' if taken['stack'] else ''}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
