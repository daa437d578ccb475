"""Known answers: sizes from the literature, stems, shortcuts, and which layer belongs to which part."""

from math import sqrt

import pytest
import timm
import torch
from torch import nn

from crossweep.errors import ConfigError
from crossweep.models.base import drawing_from, new_head
from crossweep.models.mlp import Mlp
from crossweep.models.parts import parts
from crossweep.models.resnet_cifar import BasicBlock, ResNetCifar
from crossweep.models.timm_model import TimmModel
from crossweep.rng import Stream
from tests import expect
from tests.models.options import CIFAR, DIGITS, build, load


def weights(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_sizes_are_those_of_the_literature() -> None:
    # He et al., CVPR 2016, table 6: 0.27 M for ResNet-20 and 0.85 M for ResNet-56 with ten classes
    for blocks, millions in ((3, 0.27), (9, 0.85)):
        model = ResNetCifar(blocks=blocks, width=16, stem_stride=1).build(CIFAR, 10, torch.Generator())
        assert round(weights(model) / 1e6, 2) == millions
    # Gokmen and Vlasov, 2016: 784-256-128-10 with biases
    model = load("mlp").build((1, 28, 28), 10, torch.Generator())
    assert weights(model) == 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10
    # Rasch et al., Nat. Commun. 15:7133 (2024), Fig. 5: 80 K for LeNet on MNIST
    model = load("lenet5").build((1, 28, 28), 10, torch.Generator())
    assert weights(model) == 16 * 25 + 16 + 32 * 16 * 25 + 32 + 512 * 128 + 128 + 128 * 10 + 10


def test_swin_micro_is_smaller_on_small_images() -> None:
    assert round(weights(build(load("swin_micro"), CIFAR)) / 1e6, 2) == 2.25
    assert weights(build(load("swin_micro"), (1, 16, 16))) < 140_000
    assert weights(build(load("swin_micro"), (1, 17, 17))) > 2_000_000, "the rule is: at most small_up_to"


def test_image_that_is_not_square_sets_both_sides() -> None:
    model = TimmModel(
        name="vit_tiny_patch16_224", pretrained=False, kwargs={"patch_size": 4, "depth": 1}
    ).build((2, 8, 12), 3, torch.Generator())
    assert model(torch.zeros(1, 2, 8, 12)).shape == (1, 3)


def test_cifar_stem_keeps_the_resolution() -> None:
    model = build(load("resnet18"), CIFAR)
    seen: list[torch.Size] = []
    model.get_submodule("layer1").register_forward_pre_hook(lambda _, x: seen.append(x[0].shape))
    model(torch.zeros(2, *CIFAR))
    assert seen == [torch.Size([2, 64, 32, 32])]


def test_cifar_stem_has_the_spread_of_its_initialisation() -> None:
    weight = build(load("resnet18"), CIFAR).get_parameter("conv1.weight")
    expect.variance(weight, 2 / (64 * 9), detects=0.3)  # He initialisation by outputs: 2 / (channels * 3 * 3)


def test_shortcut_takes_every_second_pixel_and_adds_zero_channels(rng: Stream) -> None:
    with drawing_from(rng.generator()):
        block = BasicBlock(2, 4, 2)
    nn.init.zeros_(block.bn2.weight)  # the residual branch gives zero
    x = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    out = block(x)
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2]) and torch.equal(out[:, 2:], torch.zeros(1, 2, 2, 2))


def test_mlp_is_a_chain_of_linear_maps_and_activations() -> None:
    model = build(Mlp(widths=[4], activation="tanh"), (1, 2, 2))
    x = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    first, head = model.get_submodule("mlp.0"), model.get_submodule("head")
    torch.testing.assert_close(model(x), head(torch.tanh(first(x.flatten(1)))))


def test_mlp_without_hidden_layers_is_linear() -> None:
    model = build(Mlp(widths=[], activation="relu"))
    assert [type(m) for m in model.modules()][-1] is nn.Linear and not parts(model)["last_stage"]


def test_parts_of_a_swin() -> None:
    found = parts(build(load("swin_micro"), DIGITS))
    block = "layers.1.blocks.0"
    assert {n for n in found["attention"] if n.startswith(block)} == {
        f"{block}.attn.qkv",
        f"{block}.attn.proj",
    }
    assert {n for n in found["mlp"] if n.startswith(block)} == {f"{block}.mlp.fc1", f"{block}.mlp.fc2"}
    assert found["patch_embed"] == {"patch_embed.proj"} == found["conv"]
    assert found["downsample"] == {"layers.1.downsample.reduction"}
    assert found["last_stage"] == {n for n in found["all"] if n.startswith("layers.1.")}
    assert found["head"] == {"head.fc"}


def test_parts_of_a_resnet() -> None:
    found = parts(build(load("resnet18")))
    assert found["patch_embed"] == {"conv1"} and found["head"] == {"fc"}
    assert found["downsample"] == {f"layer{i}.0.downsample.0" for i in (2, 3, 4)}
    assert found["last_stage"] == {n for n in found["all"] if n.startswith("layer4.")}
    assert not found["attention"] and not found["mlp"]


def test_parts_of_a_vit() -> None:
    found = parts(build(load("vit_tiny")))
    last = "blocks.11"
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert found["last_stage"] == {f"{last}.{layer}" for layer in layers} and found["head"] == {"head"}


def test_parts_of_a_model_with_two_classifiers() -> None:
    model = TimmModel(name="levit_128s", pretrained=False).build((3, 224, 224), 4, torch.Generator())
    assert parts(model)["head"] == {"head.linear", "head_dist.linear"}


def test_lent_global_generator_is_restored(rng: Stream) -> None:
    state = torch.random.get_rng_state()
    with drawing_from(rng.generator()):
        first = torch.rand(3)
    assert torch.equal(torch.random.get_rng_state(), state)
    with drawing_from(rng.generator()):
        assert not torch.equal(torch.rand(3), first), "the generator did not move on"


def test_dropout_and_stochastic_depth_of_timms_defaults_are_off(rng: Stream) -> None:
    name = "swin_tiny_patch4_window7_224"
    with drawing_from(rng.generator()):
        default = timm.create_model(
            name, img_size=32, patch_size=4, window_size=2, num_classes=2, depths=(1, 1)
        )
    assert any(getattr(m, "drop_prob", 0) for m in default.modules()), "timm's default has none to switch off"
    ours = build(
        TimmModel(name=name, pretrained=False, kwargs={"patch_size": 4, "window_size": 2, "depths": (1, 1)}),
        CIFAR,
    )
    assert not any(getattr(m, "drop_prob", 0) for m in ours.modules())


def test_new_head_is_drawn_as_a_fresh_linear_layer() -> None:
    model = Mlp(widths=[64], activation="relu").build((1, 8, 8), 100, torch.Generator().manual_seed(0))
    weight = model.get_parameter("head.weight")
    bound = 1 / sqrt(64)  # torch: uniform in +-1/sqrt(inputs), whose kurtosis is 1.8
    assert weight.abs().max() <= bound
    expect.variance(weight, bound**2 / 3, detects=0.1, kurtosis=1.8)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "swin_tinny_patch4_window7_224"}, "near: swin_tiny_patch4_window7_224"),
        ({"name": "qqqqqqqqqqqq"}, "timm.list_models"),
        ({"kwargs": {"embed_dims": 32}, "small_up_to": 0}, "embed_dims"),
        ({"kwargs": {"drop_path_rate": 0.1}}, "drop_path_rate"),
        ({"small_kwargs": {"proj_drop_rate": 0.1}}, "model.small_kwargs"),
        ({"kwargs": {"num_classes": 3}, "small_up_to": 0}, "5 numbers per image"),
        ({"small_kwargs": {"img_size": 16}}, "1x8x8"),
        ({"cifar_stem": True}, "model.cifar_stem"),
    ],
    ids=str,
)
def test_a_bad_value_is_one_line(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(load("swin_micro", **changes))
    assert says in str(error.value) and "\n" not in str(error.value) and "model" in str(error.value)


@pytest.mark.parametrize(
    ("name", "changes", "key"),
    [
        ("mlp", {"widths": [0]}, "model.widths"),
        ("mlp", {"activation": "relish"}, "model.activation"),
        ("resnet_cifar", {"blocks": 0}, "model.blocks"),
        ("resnet_cifar", {"width": 1.5}, "model.width"),
        ("resnet_cifar", {"stem_stride": 0}, "model.stem_stride"),
    ],
)
def test_a_bad_value_of_our_own_models_is_one_line(name: str, changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: must be"):
        load(name, **changes)


def test_pretrained_weights_that_cannot_be_had_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("cannot reach the hub\nand more lines")

    monkeypatch.setattr("timm.models._hub.hf_hub_download", unreachable)
    with pytest.raises(ConfigError) as error:
        build(load("resnet18", pretrained=True))
    text = str(error.value)
    assert "model.pretrained: true" in text and "HF_HOME" in text and "cannot reach the hub" in text
    assert "\n" not in text


def test_weights_that_timm_does_not_know_are_one_line() -> None:
    with pytest.raises(ConfigError, match=r"model\.name: .* Invalid pretrained tag \(no_such_weights\)"):
        TimmModel(name="resnet18.no_such_weights", pretrained=True)


def test_small_images_are_doubled_until_the_network_takes_them(rng: Stream) -> None:
    description = load("timm", name="test_vit2")  # patches of 16 pixels
    model, images = build(description, DIGITS), torch.rand(2, *DIGITS, generator=torch.Generator())
    assert model.get_submodule("patch_embed").img_size == (16, 16)  # type: ignore[comparison-overlap]
    seen: list[torch.Size] = []
    model.get_submodule("patch_embed").register_forward_pre_hook(lambda _, x: seen.append(x[0].shape))
    model(images)
    assert seen == [torch.Size([2, 1, 16, 16])]
    assert not build(description, (1, 32, 16))._forward_pre_hooks, "large enough as they are"
    assert new_head(model, 3, rng.generator())(images).shape == (2, 3), "a copy resizes as well"


def test_a_size_that_is_given_is_the_size() -> None:
    model = build(load("timm", name="test_resnet", image_size=20), (3, 8, 12))
    seen: list[torch.Size] = []
    model.get_submodule("conv1").register_forward_pre_hook(lambda _, x: seen.append(x[0].shape))
    model(torch.zeros(2, 3, 8, 12))
    assert seen == [torch.Size([2, 3, 20, 20])]
    with pytest.raises(ConfigError, match=r"^model\.image_size: must be"):
        load("timm", image_size=0)
    with pytest.raises(ConfigError, match="1x8x8"):
        build(load("timm", image_size=None), DIGITS)


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("swin_micro", "resnet18"),
        ("swin_micro", "mobilenetv3_small_050"),
        ("resnet18", "vit_tiny_patch16_224"),
    ],
)
def test_keywords_of_another_network_are_one_line_that_says_what_to_type(option: str, name: str) -> None:
    with pytest.raises(ConfigError, match=r"`model=timm model\.name=") as error:
        build(load(option, name=name), CIFAR)
    assert "\n" not in str(error.value)
    build(load("timm", name=name), CIFAR)
