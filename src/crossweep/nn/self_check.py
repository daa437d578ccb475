"""Does the converted network compute what the digital one does? Asked with ideal devices, before anything trains."""

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import zip_longest

import torch
from torch import Tensor, nn

from crossweep.algorithms.digital import Digital
from crossweep.engine.io_parameters import PERFECT
from crossweep.errors import ConfigError
from crossweep.nn.convert import convert
from crossweep.nn.convertible import convertible
from crossweep.nn.layers import WeightUseError
from crossweep.tiles.factory import TileFactory
from crossweep.tiles.mapping import TileMapping

SAMPLES = 2
TOLERANCE = 1e-3  # of a layer's output, root mean square [1]: float32 through a deep network; faults seen were 45 to 340 %
OUTPUT = "the network's output"


def self_check(
    model: nn.Module,
    names: Sequence[str],
    mapping: TileMapping,
    factory: TileFactory,
    inputs: Tensor | tuple[Tensor, ...],
) -> None:
    """Convert a copy of ``model`` to ideal devices with a perfect periphery and compare, layer by layer.

    Copies are evaluated on the CPU; ``model``, its statistics and the global generator stay as they are.

    Args:
        model: the digital network.
        names: layers to convert.
        mapping: splitting and scaling, as in the experiment.
        factory: of the experiment; its streams draw nothing.
        inputs: a few samples [b, ...]; several where the network takes several.

    Raises:
        ConfigError: a layer gives another output on crossbars, or its weight is used in a way that crossbars cannot
            serve; one line with its name and the ``analog.exclude`` that helps.
    """
    given = tuple(t.cpu() for t in (inputs if isinstance(inputs, tuple) else (inputs,)))
    digital = copy.deepcopy(model).cpu().eval()
    expected = _outputs(digital, names, given)
    uses: dict[str, str] = {}
    while len(uses) < len(names):
        kept = [name for name in names if name not in uses]
        ideal = _ideal(digital, kept, mapping, factory)
        layers = {ideal.get_submodule(name): name for name in kept}
        try:
            found = _outputs(ideal, names, given)
        except WeightUseError as error:
            uses[layers[error.layer]] = error.use
            continue
        break
    if uses:
        name, use = next(iter(uses.items()))
        also = f" (and {len(uses) - 1} more)" if len(uses) > 1 else ""
        raise ConfigError(
            f"analog.layers: the network applies `{use}` to the weight of {name}{also}, which crossbars cannot do;"
            f" leave it digital: {_exclude(model, list(uses))}"
        )
    _compare(model, expected, found)


def _ideal(digital: nn.Module, names: Sequence[str], mapping: TileMapping, factory: TileFactory) -> nn.Module:
    """A converted copy; the parameters that conversion leaves behind are NaN, so that their use shows."""
    factory = replace(factory.trial(), forward=PERFECT, backward=PERFECT)
    ideal = copy.deepcopy(digital)
    weights = [ideal.get_parameter(f"{name}.weight") for name in names]
    convert(ideal, names, Digital(), mapping, factory)
    for weight in weights:
        weight.detach().fill_(torch.nan)
    return ideal


def _outputs(model: nn.Module, names: Sequence[str], inputs: tuple[Tensor, ...]) -> list[tuple[str, Tensor]]:
    """What the named layers and the network give, in the order of their calls."""
    seen: list[tuple[str, Tensor]] = []

    def note(name: str, out: object) -> None:
        seen.append((name, out.detach().clone() if isinstance(out, Tensor) else torch.empty(0)))

    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: note(name, out))  # type: ignore[misc]
        for name in names
    ]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            note(OUTPUT, model(*inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _compare(
    model: nn.Module, expected: Sequence[tuple[str, Tensor]], found: Sequence[tuple[str, Tensor]]
) -> None:
    """Find the first call that differs; a network that deviates between two layers is told by the later one."""
    for want, got in zip_longest(expected, found):
        name = (want or got)[0]
        if want is None or got is None or want[0] != got[0]:
            raise ConfigError(_differs(model, name, "is called at another point of the network"))
        if not (error := _deviation(got[1], want[1])) <= TOLERANCE:
            raise ConfigError(_differs(model, name, f"deviates by {error:.1%}"))


def _differs(model: nn.Module, name: str, how: str) -> str:
    cure = "analog.layers=none" if name == OUTPUT else _exclude(model, [name])
    return (
        f"analog.layers: with ideal devices and a perfect periphery {name} {how}, so that it would be another"
        f" network; leave it digital: {cure}"
    )


def _deviation(got: Tensor, want: Tensor) -> float:
    """Root mean square of the difference, relative to that of ``want``; where ``want`` is not finite nothing counts."""
    if got.shape != want.shape:
        return torch.inf
    finite = want.isfinite()
    difference, size = (float(torch.where(finite, v, 0).double().norm()) for v in (got - want, want))
    return difference / size if size else difference


def _exclude(model: nn.Module, names: Collection[str]) -> str:
    """The setting that leaves ``names`` digital: patterns with a star per number where they fit exactly."""
    patterns = sorted(
        {".".join("*" if part.isdigit() else part for part in name.split(".")) for name in names}
    )
    hit = {name for name in convertible(model) if any(fnmatchcase(name, pattern) for pattern in patterns)}
    return f"'analog.exclude=[{','.join(patterns if hit == set(names) else names)}]'"
