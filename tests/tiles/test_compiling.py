"""A minute of compilation is announced, and only where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
from crossweep.engine.cpu.kernels.jit import kernel, inline

def double(x):
    return 2 * x

double.__module__ = {module!r}
compiled = kernel(double)
print(compiled(np.float32(1.0)), compiled(2))
"""
SAID = "compiling kernels for this machine, once: about a minute"


@pytest.mark.parametrize(("module", "times"), [("crossweep.engine.cpu.kernels.batch", 1), ("numpy", 0)])
def test_compiling_is_announced_once_and_only_for_our_kernels(
    tmp_path: Path, module: str, times: int
) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.format(module=module))

    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    said = []
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, str(file)], capture_output=True, text=True, check=True, env=environment
        )
        assert ended.stdout == "2.0 4\n"
        said.append(ended.stderr.count(SAID))
    assert said == [times, 0]  # the second finds what the first has kept
