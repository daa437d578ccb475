"""Results that many runs share (pretrained weights, digital baselines): computed once, whoever asks first."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
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
    return once_each(folder, [content], lambda missing: [compute(path) for path in missing.values()])[0]


def once_each(
    folder: Path,
    contents: Sequence[Mapping[str, Any]],
    compute: Callable[[Mapping[int, Path]], Sequence[Mapping[str, Any]]],
) -> list[Any]:
    """As ``once`` for several results, of which those that are not there yet are computed together.

    Args:
        folder: where results of this kind live.
        contents: everything that determines each result.
        compute: called with the places in ``contents`` of those that are missing, and a working checkpoint for each;
            returns their results in this order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_forgotten(folder)
    names = [fingerprint({**content, "format": _FORMAT}) for content in contents]
    paths = [folder / f"{name}.safetensors" for name in names]
    with ExitStack() as held:
        for path in sorted(set(paths)):  # in one order for everybody, so that nobody waits in a circle
            held.enter_context(FileLock(f"{path}.lock"))
        places = {path: place for place, path in enumerate(paths) if not path.exists()}
        if places:
            unfinished = {place: path.with_suffix(".partial") for path, place in places.items()}
            for path, found in zip(places, compute(unfinished), strict=True):
                save_checkpoint(path, found)
            for path in unfinished.values():
                path.unlink(missing_ok=True)
    return [load_checkpoint(path) for path in paths]
