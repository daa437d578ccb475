"""Loader of the recorded reference files; see README.md for what each array is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Trace:
    """One reference file.

    Attributes:
        name: path below this folder without suffix, e.g. `algorithms/cttv2_random`.
        meta: settings, versions, date.
        arrays: everything recorded, by name.
    """

    name: str
    meta: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    def __getitem__(self, key: str) -> NDArray[Any]:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def cells(self, role: str) -> dict[str, NDArray[Any]]:
        """Hidden device parameters `[d_size, x_size]` of one crossbar (`A`, `A1`, `C`)."""
        prefix = f"{role}."
        return {key.removeprefix(prefix): a for key, a in self.arrays.items() if key.startswith(prefix)}


def names(folder: str = "") -> list[str]:
    """Names of all reference files below `folder`, sorted."""
    return sorted(p.relative_to(FOLDER).with_suffix("").as_posix() for p in (FOLDER / folder).rglob("*.npz"))


def load(name: str) -> Trace:
    """Read `name`, e.g. `algorithms/cttv2_random`."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files if key != "meta"}
        return Trace(name=name, meta=json.loads(str(file["meta"])), arrays=arrays)
