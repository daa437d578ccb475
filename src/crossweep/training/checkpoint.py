"""One file that holds everything a run needs to go on bit for bit: tensors in safetensors, the rest as JSON inside.

A checksum over both is part of the file: a flipped bit on a disk would otherwise be a slightly different weight.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from crossweep.errors import ConfigError
from crossweep.records import write_bytes

_TENSOR = "$tensor"
_INTEGER_KEY = "$int:"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> Path:
    """Write a nested mapping of tensors and plain values, atomically."""
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_take_tensors(state, "", tensors))
    return write_bytes(
        path, save(tensors, metadata={"state": skeleton, "checksum": _checksum(skeleton, tensors)})
    )


def load_checkpoint(path: Path) -> Any:
    """Inverse of ``save_checkpoint``.

    Raises:
        ConfigError: the file is damaged or no checkpoint; delete it to start afresh.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        if _checksum(metadata["state"], tensors) != metadata["checksum"]:
            raise ValueError("its checksum is wrong")
        return _put_tensors(json.loads(metadata["state"]), tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"checkpoint: {path} cannot be read ({error}); delete it to start afresh"
        ) from error


def _checksum(skeleton: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(skeleton.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _take_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        # optimizers key their state by whole numbers, which JSON would turn into strings
        names = {key: f"{_INTEGER_KEY}{key}" if isinstance(key, int) else str(key) for key in value}
        return {names[key]: _take_tensors(item, f"{name}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_take_tensors(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
    return value


def _put_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return tensors[value[_TENSOR]]
        keys = {k: int(k.removeprefix(_INTEGER_KEY)) if k.startswith(_INTEGER_KEY) else k for k in value}
        return {keys[key]: _put_tensors(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_put_tensors(item, tensors) for item in value]
    return value
