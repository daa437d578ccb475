"""Results that many runs share (pretrained weights, digital baselines): computed once, whoever asks first."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from crossweep.records import remove_forgotten
from crossweep.training.checkpoint import load_checkpoint, save_checkpoint

_FORMAT = 3  # of what the entries hold


def fingerprint(content: Mapping[str, Any]) -> str:
    """16 hex digits that determine ``content`` (plain JSON values)."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def once(folder: Path, content: Mapping[str, Any], compute: Callable[[Path], Mapping[str, Any]]) -> Any:
    """The cached result for ``content``, computed under a file lock if it is not there yet.

    Args:
        folder: where results of this kind live.
        content: everything that determines the result.
        compute: called with the path of a working checkpoint that it may use to resume; returns the result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_forgotten(folder)
    path = folder / f"{fingerprint({**content, 'format': _FORMAT})}.safetensors"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            unfinished = path.with_suffix(".partial")
            save_checkpoint(path, compute(unfinished))
            unfinished.unlink(missing_ok=True)
    return load_checkpoint(path)
