"""A conversion that would change the network is refused before anything trains, with the layer's name."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossweep.bench.basic import basic
from crossweep.errors import ConfigError
from crossweep.nn import convertible as rules
from crossweep.nn.convertible import convertible
from crossweep.nn.self_check import self_check
from crossweep.rng import Stream
from crossweep.tiles.mapping import TileMapping
from tests.nn.networks import Doubling, build, factory


class Functional(nn.Module):
    """Applies its layers' weights by itself."""

    def __init__(self, use: str) -> None:
        super().__init__()
        self.use = use
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.out = nn.Linear(6, 2)
        self.kept = [self.out.weight]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.blocks:
            if self.use == "product":
                x = F.linear(x.to(layer.weight.dtype), weight=layer.weight, bias=layer.bias)
            elif self.use == "matmul":
                x = x @ layer.weight
            elif self.use == "attribute":
                x = x @ layer.weight.t() + layer.bias
            elif self.use == "stale":
                x = layer(x)
        if self.use == "stale":
            return F.linear(x, self.kept[0])
        if self.use == "type" and isinstance(self.out, nn.Linear):
            x = 2 * x
        return self.out(x)


def check(model: nn.Module, names: list[str] | None = None) -> None:
    chosen = list(convertible(model)) if names is None else names
    images = Stream(3).normal(2, 6, like=torch.empty(0))
    self_check(model, chosen, basic(TileMapping, max_tile_size=4), factory(), images)


def test_a_product_with_the_weight_is_a_read() -> None:
    check(build(0, lambda: Functional("product")))


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (
            "matmul",
            r"applies `matmul` to the weight of blocks\.0 \(and 2 more\).*analog\.exclude=\[blocks\.\*\]",
        ),
        ("attribute", r"applies `weight\.t` .* blocks\.0 .*analog\.exclude=\[blocks\.\*\]"),
        ("stale", r"the network's output deviates"),
        ("type", r"out deviates by .*analog\.exclude=\[out\]"),
    ],
)
def test_a_weight_used_otherwise_is_one_line_with_the_cure(use: str, says: str) -> None:
    model = build(0, lambda: Functional(use))
    with pytest.raises(ConfigError, match=says) as error:
        check(model)
    assert "\n" not in str(error.value)
    if use != "stale":
        check(model, [n for n in convertible(model) if n.startswith("out") != (use == "type")])


def test_a_layer_taken_for_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_known_forward", lambda layer: isinstance(layer, nn.Linear))
    model = build(0, lambda: nn.Sequential(nn.Linear(6, 6), Doubling(6, 6), nn.Linear(6, 2)))
    with pytest.raises(
        ConfigError, match=r"1 deviates by 50\.0%.*analog\.exclude=\[1\]|analog\.exclude=\[\*\]"
    ):
        check(model)


def test_attention_of_torch_is_refused_by_name() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn, self.head = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = x.unsqueeze(1)
            return self.head(self.attn(x, x, x)[0].squeeze(1))

    model = build(0, Attending)
    with pytest.raises(ConfigError, match=r"weight of attn\.out_proj.*analog\.exclude=\[attn\.out_proj\]"):
        check(model)
    check(model, ["head"])


def test_model_statistics_and_generator_stay() -> None:
    model = build(
        0, lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2))
    )
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    check(model.train())
    assert model.training and torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
