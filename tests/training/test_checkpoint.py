"""A checkpoint gives back what was saved, and says clearly when it cannot."""

from pathlib import Path

import pytest
import torch

from crossweep.errors import ConfigError
from crossweep.training.checkpoint import load_checkpoint, save_checkpoint


def test_nested_state_survives(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    state = {
        "model": {"a.b": weight, "view": weight.t(), "count": torch.tensor(3)},
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}, 11: {"step": torch.tensor(5.0)}}},
        "history": [{"epoch": 1, "loss": 0.5}],
        "extra": {"samples": 7, "none": None, "flag": True},
    }
    loaded = load_checkpoint(save_checkpoint(tmp_path / "c.safetensors", state))
    assert torch.equal(loaded["model"]["a.b"], weight) and torch.equal(loaded["model"]["view"], weight.t())
    assert loaded["optimizer"]["state"][11]["step"] == 5 and set(loaded["optimizer"]["state"]) == {0, 11}
    assert loaded["history"] == state["history"] and loaded["extra"] == state["extra"]


def test_a_part_of_one_element_survives(tmp_path: Path) -> None:
    state = {"row": torch.arange(8.0)[3::2][:1], "corner": torch.arange(8.0).reshape(4, 2).t()[1:, 2:3]}
    loaded = load_checkpoint(save_checkpoint(tmp_path / "c.safetensors", state))
    assert all(torch.equal(loaded[name], state[name]) for name in state)


@pytest.mark.parametrize("keep", [0, 7, 40])
def test_damaged_file_is_one_clear_error(tmp_path: Path, keep: int) -> None:
    path = save_checkpoint(tmp_path / "c.safetensors", {"a": torch.ones(4)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ConfigError, match=r"c\.safetensors cannot be read .*delete it"):
        load_checkpoint(path)


@pytest.mark.parametrize("where", ["tensor", "state"])
def test_one_flipped_bit_is_noticed(tmp_path: Path, where: str) -> None:
    state = {"a": torch.ones(64), "empty": torch.ones(0), "flag": torch.tensor(True), "count": 4711}
    path = save_checkpoint(tmp_path / "c.safetensors", state)
    assert torch.equal(load_checkpoint(path)["a"], state["a"])
    content = bytearray(path.read_bytes())
    position = len(content) - 7 if where == "tensor" else content.index(b"4711")
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.safetensors cannot be read .*checksum.*delete it"):
        load_checkpoint(path)
