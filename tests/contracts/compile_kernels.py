"""Compile the Triton kernels for a GPU, which needs none: ``python compile_kernels.py [NAME ...]`` prints what each takes.

Every kernel is compiled twice: with any sizes, and with all sizes one, which Triton makes constants.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["TRITON_INTERPRET"] = "0"

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from crossweep.engine.cuda.kernels import counts, periphery, pulse, samples, windows, words

TARGET = GPUTarget("cuda", 90, 32)
F, D, W, B, L, N, S = "*fp32", "*fp64", "*i32", "*i8", "*i64", "i32", "fp32"
STATES, WORDS, SHAPE = (F,) * 10, (W, B, W, B), (S,) * 10
TABLES = (W, W, W, W, F, F, F, F, F, F, W)
BUFFERED = {
    "HELD": True, "MEANS": True, "PASTS": True, "SECONDS": False, "FACTORS": False, "FORGET": True, "NO_BUFFER": False,
    "TRAINS": False, "MANAGED": False, "SHORTEN": False, "BY_ROWS": False,
}  # fmt: skip
TRAINS = BUFFERED | {"MEANS": False, "PASTS": False, "TRAINS": True, "MANAGED": True, "SHORTEN": True}
DRAWN = {"PIECES": 1, "SIGNED": True}


def live(level: int, rule: dict[str, Any], rows: int, columns: int) -> tuple[Any, ...]:
    expected = (F, W, F, W) if level == 1 else WORDS
    arguments = [
        STATES, expected, (F, F), W, W, F if level == 1 else W, TABLES, (F,) * 4, (F,) * 4, F, (W, W, W), STATES, F, F, W,
        B, (SHAPE, SHAPE), (F, F), (S,) * 8, (S,) * 7, (S,) * 3, *[N] * 10,
    ]  # fmt: skip
    constants = DRAWN | rule | {
        "LEVEL": level, "WIDE": False, "KIND": 0, "SLOW_KIND": 0, "PERFECT": False, "BY_WEIGHT": False, "DISTURBED": False,
        "R": rows, "C": columns,
    }  # fmt: skip
    return windows.live, arguments, constants, rows * columns // 32


def update(level: int, kind: int) -> tuple[Any, ...]:
    expected = (F, W, F, W) if level == 1 else WORDS
    arguments = [
        F, F, F, (F,) * 6, expected, (F, F), W, W, W, W, W, W, F, F, (W, W, W), F, W, SHAPE, F, *[N] * 6
    ]  # fmt: skip
    return (
        windows.update,
        arguments,
        DRAWN | {"LEVEL": level, "KIND": kind, "MIRROR": True, "R": 16, "C": 16},
        8,
    )


KERNELS: dict[str, tuple[Any, ...]] = {
    "draw": (words.draw_lines, [F, F, F, W, W, W, B, L, L, *[N] * 5], DRAWN | {"LONG": True, "LINES": 256}, 4),
    "draw, long trains": (
        words.draw_lines, [F, F, F, W, W, W, B, L, L, *[N] * 5],
        {"PIECES": 3, "SIGNED": False, "LONG": True, "LINES": 256}, 4,
    ),
    "expect": (words.expect_lines, [F, F, F, F, F, F, *[N] * 5], {"WEIGHTED": True, "LINES": 256}, 4),
    "first slots": (samples.first_slots, [F, W, N], {"B": 512}, 4),
    "summarise": (samples.summarise, [F, (L, L), (L, L), D, D, N, N, N, D], {"B": 512}, 4),
    "parts of windows": (samples.parts_of_windows, [D, W, W, W, W, N, N, N, S], {"C": 256}, 4),
    "count windows": (
        counts.count_windows, [*WORDS, W, W, W, F, F, W, *[N] * 6],
        DRAWN | {"SIGNS": True, "WIDE": False, "R": 32, "C": 32}, 4,
    ),
    "expect windows": (
        counts.expect_windows, [F, F, W, W, W, F, F, F, *[N] * 6], {"SIGNS": True, "S": 32, "R": 32, "C": 32}, 4,
    ),
    "live, count": live(0, BUFFERED, 16, 16),
    "live, mean": live(1, BUFFERED, 16, 16),
    "live, pulse": live(2, BUFFERED, 16, 16),
    "live, trains": live(0, TRAINS, 128, 8),
    "update, count": update(0, 0),
    "update, mean": update(1, 0),
    "update, pulse": update(2, 0),
    "update, exponential": update(0, 1),
    "update, table": update(0, 2),
    "give": (pulse.give_known, [F, F, F, F, W, (F,) * 6, SHAPE, W, N, N, N], {"R": 16, "C": 16}, 8),
    "show": (pulse.show, [F, F, F, F, S, W, N, N], {"R": 16, "C": 16}, 8),
    "count single": (pulse.count_single, [W, W, F, N, N, N], DRAWN | {"LINES": 256}, 4),
    "convert": (
        periphery.convert, [F, W, F, F, F, N, N, (S,) * 4], {"STOCHASTIC": True, "NOISY": True, "N": 256}, 4,
    ),
    "digitise": (
        periphery.digitise, [F, F, F, W, B, N, N, (S,) * 3, S],
        {"WEIGHTS": 2, "STOCHASTIC": True, "NOISY": True, "D": 256}, 4,
    ),
    "halve": (
        periphery.halve, [F, F, F, W, W, B, F, *[N] * 7, (S,) * 4, (S,) * 3, S, S, S],
        {
            "WEIGHTS": 2, "DROPS": True, "IN_STOCHASTIC": True, "IN_NOISY": True, "OUT_STOCHASTIC": True,
            "OUT_NOISY": True, "N": 32, "D": 32,
        }, 4,
    ),
    "read slices": (
        periphery.read_slices, [F, W, W, W, F, *[N] * 5, (S,) * 4, (S,) * 3, S],
        {"IN_STOCHASTIC": True, "BY_WEIGHT": True, "OUT_STOCHASTIC": True, "NOISY": True, "R": 16, "C": 16}, 8,
    ),
}  # fmt: skip


def compiled(
    kernel: Any, arguments: list[Any], constants: dict[str, Any], warps: int, *, ones: bool
) -> dict[str, int]:
    """What the kernel takes of a GPU."""
    names = kernel.arg_names
    given = ["constexpr" if ones and kind == N else kind for kind in arguments]
    signature = dict(zip(names, given, strict=False)) | dict.fromkeys(names[len(given) :], "constexpr")
    values = {(k,): 1 for k, kind in enumerate(given) if kind == "constexpr"}
    values |= {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature=signature, constexprs=values)
    made = triton.compile(source, target=TARGET, options={"num_warps": max(1, min(warps, 16))})
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        said = subprocess.run(
            [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    return {name.lower(): int(number) for name, number in re.findall(r"\b(REG|STACK|SHARED):(\d+)", said)}


def main(chosen: list[str]) -> None:
    for name, (kernel, arguments, constants, warps) in KERNELS.items():
        if chosen and not any(name.startswith(part) for part in chosen):
            continue
        for ones in (False, True):
            taken = compiled(kernel, arguments, constants, warps, ones=ones)
            spilled = ", spilled" if taken["stack"] else ""
            print(f"{name}{' (sizes of one)' if ones else ''}: {taken}{spilled}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
