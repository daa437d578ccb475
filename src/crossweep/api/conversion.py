"""A torch model onto crossbars."""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.build import build
from crossweep.chosen import name_of
from crossweep.composition import Overrides, composed, words
from crossweep.devices.base import AbstractDevice
from crossweep.errors import ConfigError
from crossweep.nn.self_check import SAMPLES
from crossweep.rng import Stream
from crossweep.sweep.refusals import near
from crossweep.training.experiment import Experiment

M = TypeVar("M", bound=nn.Module)
Inputs = Tensor | tuple[Tensor, ...]

# what a conversion reads of a configuration; `training` for the granularity of its data set's size
READ = (
    "device", "noise", "symmetry_point", "variability", "io", "engine", "algorithm", "analog", "seed", "plugins",
    "compute_device", "hydra.searchpath", "training.auto_granularity",
)  # fmt: skip
_GUESSED = (32, 28, 224, 64, 16, 8)  # sides of images to try [pixel]


def convert(
    model: M,
    device: str | AbstractDevice | type[AbstractDevice] | None = None,
    algorithm: str | AbstractAlgorithm | type[AbstractAlgorithm] | None = None,
    overrides: Overrides = (),
    *,
    sample: Inputs | None = None,
    **options: Any,
) -> M:
    """A copy of a torch model whose linear layers and 2-d convolutions compute and train on simulated crossbars.

    Before devices are drawn, the converted network is compared with the given one on ideal devices, as in every training:
    a layer that would compute something else is refused by name. The weights are written to the devices as they are.

    Args:
        model: any torch module that holds float32 layers; it stays as it is.
        device: an option of the group ``device``, a device, or the class of an option (`crossweep.option` says which);
            None: the configuration's default.
        algorithm: likewise of the group ``algorithm``.
        overrides: further keys as on the command line: ``{"symmetry_point.skew": 0.1}`` or
            ``["symmetry_point.skew=0.1", "analog.exclude=[head]"]``.
        sample: a few inputs of the model [b, ...] for the comparison, a tuple where it takes several; None: a shape is
            guessed from its first layer.
        options: as ``overrides``: ``noise="typical"``, ``io="perfect"``, ``seed={"device": 1}``.

    Returns:
        A model of the same class and on the same torch device, or on ``compute_device`` if that is given. Train it with
        `crossweep.Optimizer`. Equal arguments draw equal devices; ``seed.device`` and ``seed.training`` choose others.

    Raises:
        ConfigError: a key or value breaks its rule, a key plays no part in a conversion, or the converted network would be
            another one.

    Example:
        >>> model = crossweep.convert(net, device="reram_om", algorithm="cttv2", **{"symmetry_point.skew": 0.1})
    """
    asked = {"device": device, "algorithm": algorithm}
    chosen = {group: name_of(group, one) if isinstance(one, type) else one for group, one in asked.items()}
    named = {group: one for group, one in chosen.items() if isinstance(one, str)}
    objects = {group: one for group, one in chosen.items() if one is not None and group not in named}
    given = words(overrides, {**named, **options})
    _require_read(given)
    here = next((p.device for p in model.parameters()), torch.device("cpu"))
    made = build(composed([f"compute_device={here}", *given], objects))
    assert isinstance(made, Experiment)
    conversion, rule, factory = made.conversion, made.rule, made.factory
    if conversion.names(model, rule):
        conversion.check(model, rule, factory, _sample(model) if sample is None else sample)
        conversion.require_memory(model, rule, factory)
    # a copy only where `compute_device` asks for another place: moving a module changes it
    digital = model if here == made.torch_device else copy.deepcopy(model).to(made.torch_device)
    return conversion.convert(digital, rule, factory)[0]


def _require_read(given: Sequence[str]) -> None:
    for word in given:
        key = re.split(r"[=@]", word.lstrip("+~"), maxsplit=1)[0].replace("/", ".")
        if key != "training" and not any(f"{key}.".startswith(f"{name}.") for name in READ):
            hint = near(key, READ) or f"; what does are {', '.join(READ)}"
            raise ConfigError(f"{key}: plays no part in a conversion{hint}")


def _sample(model: nn.Module) -> Tensor:
    """Inputs that the model takes, by the size of its first layer.

    Raises:
        ConfigError: none of the usual shapes is one.
    """
    for shape in _shapes(model):
        guess = torch.rand(SAMPLES, *shape, generator=Stream(0, "sample").generator())
        if _takes(model, guess):
            return guess
    raise ConfigError("sample: must be given, a few inputs of the model: it takes none of the shapes tried")


def _shapes(model: nn.Module) -> Iterator[tuple[int, ...]]:
    told: Any = getattr(model, "default_cfg", None)
    if isinstance(told, Mapping) and "input_size" in told:  # of a timm model
        yield tuple(told["input_size"])
    first = next((m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)), None)
    if isinstance(first, nn.Linear):
        yield (first.in_features,)
    channels = [first.in_channels] if isinstance(first, nn.Conv2d) else [1, 3]
    yield from ((c, side, side) for side in _GUESSED for c in channels)


def _takes(model: nn.Module, guess: Tensor) -> bool:
    training, here = model.training, next((p.device for p in model.parameters()), guess.device)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            model.eval()(guess.to(here))
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError):
        return False
    finally:
        model.train(training)
    return True
