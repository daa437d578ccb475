"""Write one reference file: named arrays plus a JSON string `meta` with where they come from."""

from __future__ import annotations

import datetime
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch


def write(path: Path, arrays: dict[str, Any], meta: dict[str, Any]) -> int:
    """Compressed; returns the size [byte]."""
    origin = {
        "aihwkit": version("aihwkit"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "engine": "CPU, float32",
        "recorded": datetime.date.today().isoformat(),
    }
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, meta=np.array(json.dumps(origin | meta)), **arrays)
    temporary.replace(path)
    return path.stat().st_size
