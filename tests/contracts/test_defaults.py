"""Defaults live in one place, the yamls: what options give has no default in a class, and everybody reads them alike."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from crossweep import options, schema, trust
from crossweep.composition import composed
from crossweep.configuration import Configuration
from crossweep.devices.linear_step import LinearStep
from crossweep.devices.measured import node
from crossweep.devices.table import TableStep
from crossweep.nodes import make
from crossweep.paths import conf_dir, version_base

HINTS = schema.hints_of(Configuration)
OPTIONS = [
    (folder.name, file.stem)
    for folder in sorted(conf_dir().iterdir())
    if folder.name in HINTS.keys() - {"study", "axis"}
    for file in sorted(folder.glob("[!_]*.yaml"))
]


def nodes(node: Any, hint: Any) -> Iterator[tuple[type, set[str]]]:
    """Every class of parameters that a node fills, with the fields that it gives."""
    if not isinstance(node, Mapping):
        return
    target, many = node.get("_target_"), get_origin(hint) is Mapping
    kinds = [kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)]
    kind = trust.find(target, "_target_", ()) if target else next(iter(kinds), None)
    if kind is None or trust.is_recipe(kind):
        hints: Mapping[str, Any] = {}
    elif many and not target:
        hints = dict.fromkeys(node, kind)
    else:
        hints = schema.hints_of(kind)
        yield kind, set(node)
    for name, value in node.items():
        yield from nodes(value, hints.get(name))


def owner(kind: type, name: str) -> type:
    """The class that declares a field."""
    return next(base for base in kind.__mro__ if name in inspect.get_annotations(base))


def given_everywhere() -> set[tuple[type, str]]:
    """Fields, with the class that declares them, which every node of conf/ gives of that class and those below it."""
    found = list(nodes(composed([]), Configuration))
    for group, name in OPTIONS:
        found += nodes(options.keys(group, name), HINTS[group])
    places = [(owner(kind, f.name), f.name, f.name in given) for kind, given in found for f in fields(kind)]
    return {place[:2] for place in places} - {place[:2] for place in places if not place[2]}


def test_what_every_option_gives_has_no_default_in_its_class() -> None:
    given = given_everywhere()
    assert len(given) > 150
    twice = sorted(
        f"{kind.__name__}.{field.name}"
        for kind, name in given
        for field in fields(kind)
        if field.name == name and not schema.required(field)
    )
    assert not twice, f"numbers in two places; take the default out of the class: {', '.join(twice)}"


def test_what_an_option_gives_has_no_default_in_the_recipe_that_it_names() -> None:
    found = {name: options.keys(*name) for name in OPTIONS}
    named = {
        name: trust.find(keys["_target_"], "_target_", ())
        for name, keys in found.items()
        if "_target_" in keys
    }
    recipes = {
        name: inspect.signature(each).parameters for name, each in named.items() if trust.is_recipe(each)
    }
    assert recipes
    for option, parameters in recipes.items():
        given = [parameters[name] for name in found[option] if name in parameters]
        assert all(each.default in (inspect.Parameter.empty, None) for each in given), option


@pytest.mark.parametrize("group", ["algorithm", "device", "engine", "io"])
def test_an_option_is_read_without_hydra_as_hydra_composes_it(group: str) -> None:
    with initialize_config_dir(str(conf_dir()), **version_base()):
        for name in (name for own, name in OPTIONS if own == group):
            theirs = OmegaConf.to_container(compose(overrides=[f"+{group}={name}"])[group])
            assert options.keys(group, name) == theirs, name


def test_what_a_measured_device_leaves_out_is_in_the_yaml_of_its_model() -> None:
    own = {
        "_target_": "crossweep.devices.linear_step.LinearStep",
        "gamma_up": 0.3,
        "gamma_down": 0.2,
        "dw_min": 0.02,
    }
    made = make(node(own) | {"w_max": 1.5}, "device")
    told = {name: value for name, value in options.keys("device", "_linear_step").items() if name not in own}
    assert made == LinearStep(**(told | {k: v for k, v in own.items() if k[0] != "_"} | {"w_max": 1.5}))
    table = {"_target_": "crossweep.devices.table.TableStep", "up": [[1.0, 0.5]], "down": [[0.5, 1.0]]}
    made = make(node(table), "device")
    assert isinstance(made, TableStep) and made.up_std == made.top == () and made.dw_min == 0.001
