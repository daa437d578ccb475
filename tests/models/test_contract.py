"""What every model option of the configuration must do."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crossweep.models.base import InputShape, new_head
from crossweep.models.parts import PARTS, parts
from tests.models import options
from tests.models.options import CIFAR, CLASSES, DIGITS, build, load
from tests.tables import entry

CHANGES: dict[str, dict[str, Any]] = {  # another value of every key
    "swin_micro": {
        "name": "swinv2_tiny_window8_256",
        "kwargs": {"patch_size": 4, "window_size": 4, "depths": [2, 2]},
        "small_up_to": 0,
        "small_kwargs": {"patch_size": 1, "window_size": 4, "depths": [2, 2]},
    },
    "swin_tiny": {"name": "swin_base_patch4_window7_224", "kwargs": {"patch_size": 4, "depths": [2, 2]}},
    "vit_tiny": {
        "name": "vit_small_patch16_224",
        "kwargs": {"patch_size": 8},
        "small_up_to": 0,
        "small_kwargs": {"patch_size": 4},
    },
    "resnet18": {"name": "resnet34", "cifar_stem": False},
    "timm": {"name": "test_vit3", "kwargs": {"patch_size": 8}, "image_size": 64},
    "resnet_cifar": {"blocks": 1, "width": 8, "stem_stride": 2},
    "mlp": {"widths": [16], "activation": "relu"},
    "mlp_relu": {"widths": [16], "activation": "sigmoid"},
    "lstm": {"hidden": 8, "layers": 2},
    "lenet5": {"channels": [8, 16], "width": 32, "activation": "relu"},
}
ELSEWHERE = {"_target_", "pretrained"}  # changes weights, not the network; its own test
SHAPES = pytest.mark.parametrize("shape", [DIGITS, CIFAR], ids=["digits", "cifar"])
EVERY = pytest.mark.parametrize("name", options.NAMES)


def bits(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@SHAPES
@EVERY
def test_images_become_one_number_per_class(name: str, shape: InputShape) -> None:
    model = build(load(name), shape)
    assert model.training
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    out = model(images)
    assert out.shape == (3, CLASSES) and out.isfinite().all()
    assert not torch.equal(out[0], out[1]), "the image does not reach the output"


@EVERY
def test_the_generator_decides_the_weights(name: str) -> None:
    first, again, other = (build(load(name), seed=seed) for seed in (0, 0, 1))
    assert same(bits(first), bits(again)) and not same(bits(first), bits(other))
    names = parts(first)["all"]
    fresh = [
        n
        for n in names
        if torch.equal(first.get_parameter(f"{n}.weight"), other.get_parameter(f"{n}.weight"))
    ]
    assert not fresh, "layers that do not depend on the seed"


@EVERY
def test_a_forward_pass_in_training_draws_nothing(name: str) -> None:
    model = build(load(name))
    images = torch.ones(2, *DIGITS)
    state = torch.random.get_rng_state()
    model(images)  # batch norm's running statistics move, its output does not depend on them
    assert torch.equal(torch.random.get_rng_state(), state)


@SHAPES
@EVERY
def test_parts_name_existing_layers(name: str, shape: InputShape) -> None:
    model = build(load(name), shape)
    found = parts(model)
    assert tuple(found) == PARTS
    layers = {n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert found["all"] == layers
    for names in found.values():
        assert names <= layers
    assert len(found["head"]) == 1 and found["last_stage"]
    assert not found["head"] & (found["mlp"] | found["attention"] | found["last_stage"])
    assert not found["mlp"] & found["attention"]


@EVERY
def test_a_new_head_changes_the_classifier_alone(name: str) -> None:
    model = build(load(name))
    before = [tensor.clone() for tensor in bits(model)]
    renewed = new_head(model, 7, torch.Generator().manual_seed(1))
    assert same(bits(model), before), "the model given was changed"
    (head,) = parts(renewed)["head"]
    old, new = model.state_dict(), renewed.state_dict()
    assert new[f"{head}.weight"].shape[0] == 7
    assert all(torch.equal(old[k], new[k]) for k in old if not k.startswith(head))
    assert renewed(torch.zeros(2, *DIGITS)).shape == (2, 7)


@EVERY
def test_the_generator_decides_the_new_head(name: str) -> None:
    model = build(load(name))
    first, again, other = (bits(new_head(model, 7, torch.Generator().manual_seed(s))) for s in (0, 0, 1))
    assert same(first, again) and not same(first, other)


@EVERY
def test_table_of_changes_names_every_key(name: str) -> None:
    changes = entry(
        CHANGES, name, "CHANGES in tests/models/test_contract.py", "another value of each of its keys"
    )
    assert set(changes) == set(options.settings(name)) - ELSEWHERE


@pytest.mark.few(12)
@pytest.mark.parametrize(("name", "key"), [(n, k) for n in options.NAMES for k in CHANGES.get(n, ())])
def test_every_key_changes_the_network(name: str, key: str) -> None:
    shape = CIFAR if key == "kwargs" or name == "resnet18" else DIGITS
    before, after = load(name), load(name, **{key: CHANGES[name][key]})
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    first, second = (build(description, shape).eval() for description in (before, after))
    assert not torch.equal(first(images), second(images)), f"model.{key} does nothing"
