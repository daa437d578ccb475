"""A minute of compilation is announced, and only where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout
from numba import types
from numba.core.caching import IndexDataCacheFile

from crossweep.engine.cpu.kernels.jit import kernel

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


def test_two_processes_never_give_one_file_to_two_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is read, changed and written, and the code beside it, while nobody else may."""

    def double(x: float) -> float:
        return 2 * x

    monkeypatch.setattr("crossweep.engine.cpu.kernels.jit._FOLDER", str(tmp_path))
    held = []

    def watched(name: str) -> None:
        plain = getattr(IndexDataCacheFile, name)

        def does(self: IndexDataCacheFile, *given: object) -> object:
            (lock,) = {Path(self._cache_path) / "writing.lock"}
            with pytest.raises(Timeout):
                FileLock(lock, timeout=0, is_singleton=False).acquire()
            held.append(name)
            return plain(self, *given)

        monkeypatch.setattr(IndexDataCacheFile, name, does)

    watched("_save_index")
    watched("_save_data")
    compiled = kernel(double)
    compiled.compile((types.float32,))
    compiled.compile((types.int64,))
    assert held == ["_save_index", "_save_data"] * 2
    again = kernel(double)
    assert again(np.float32(1.5)) == 3.0 and again(2) == 4 and held == ["_save_index", "_save_data"] * 2
    assert sum(again.stats.cache_hits.values()) == 2
