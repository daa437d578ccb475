"""Networks of sequences: known formulas, causality, and one weight used over many time steps."""

import pytest
import torch
from torch import nn

from crossweep.errors import ConfigError
from crossweep.models.base import new_head
from crossweep.models.lstm import Lstm, LstmLayer, LstmNet
from crossweep.models.parts import parts
from crossweep.models.tiny_gpt import TinyGpt
from crossweep.rng import Stream
from tests.models.options import CLASSES, build, load

TEXT = (1, 1, 12)


def characters(n: int = 3) -> torch.Tensor:
    return torch.randint(CLASSES, (n, *TEXT), generator=torch.Generator().manual_seed(0)).float()


def test_an_lstm_layer_is_torch_s_own(rng: Stream) -> None:
    layer = build(Lstm(hidden=6, layers=1), (4, 1, 9)).get_submodule("lstm.0")
    assert isinstance(layer, LstmLayer)
    with torch.random.fork_rng():
        known = nn.LSTM(4, 6)
    with torch.no_grad():
        known.weight_ih_l0.copy_(layer.input.weight)
        known.weight_hh_l0.copy_(layer.recurrent.weight)
        known.bias_ih_l0.copy_(layer.input.bias)
        known.bias_hh_l0.zero_()
    values = rng.normal(9, 2, 4, like=torch.empty(0))
    torch.testing.assert_close(layer(values), known(values)[0])


def test_an_lstm_reads_columns_in_order_and_judges_by_the_last_state(rng: Stream) -> None:
    model = build(Lstm(hidden=6, layers=2), (3, 2, 5))
    assert isinstance(model, LstmNet)
    images = rng.normal(2, 3, 2, 5, like=torch.empty(0))
    values = images.flatten(1, 2)  # channels and rows side by side
    expected = torch.stack([values[..., t] for t in range(5)])
    for layer in model.lstm:
        expected = layer(expected)
    torch.testing.assert_close(model(images), model.head(expected[-1]))


def test_a_reader_knows_nothing_of_what_follows() -> None:
    model = build(load("tiny_gpt"), TEXT).eval()
    one = characters()
    other = one.clone()
    other[..., 7:] = (other[..., 7:] + 1) % CLASSES
    first, second = model(one), model(other)
    assert first.shape == (3, 12, CLASSES)
    torch.testing.assert_close(first[:, :7], second[:, :7])
    assert not torch.allclose(first[:, 7:], second[:, 7:])


def test_a_reader_knows_what_came_before_and_where() -> None:
    model = build(load("tiny_gpt"), TEXT).eval()
    one = characters(1)
    other = one.clone()
    other[..., 2] = (other[..., 2] + 1) % CLASSES
    assert not torch.allclose(model(one)[:, 11], model(other)[:, 11])
    same = torch.zeros(1, *TEXT)
    assert not torch.allclose(model(same)[:, 3], model(same)[:, 9])


def test_weights_of_a_reader_are_named_by_part() -> None:
    model = build(load("tiny_gpt"), TEXT)
    found = parts(model)
    assert len(found["attention"]) == len(found["mlp"]) == 4 and found["head"] == {"head"}
    assert found["last_stage"] == {name for name in found["all"] if name.startswith("blocks.1.")}
    renewed = new_head(model, 7, torch.Generator().manual_seed(1))
    assert renewed(characters()).shape == (3, 12, 7)


@pytest.mark.parametrize(("key", "value"), [("layers", 1), ("heads", 4), ("width", 16)])
def test_every_key_changes_a_reader(key: str, value: int) -> None:
    first, second = (build(load("tiny_gpt", **change), TEXT) for change in ({}, {key: value}))
    assert not torch.equal(first(characters()), second(characters()))


def test_a_reader_refuses_images_and_uneven_heads() -> None:
    with pytest.raises(ConfigError, match=r"model: tiny_gpt reads characters"):
        build(load("tiny_gpt"), (1, 8, 8))
    with pytest.raises(ConfigError, match=r"heads: must divide the width, 32, got 3"):
        TinyGpt(layers=1, heads=3, width=32)
