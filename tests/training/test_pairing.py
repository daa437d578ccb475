"""What runs share and what they do not: batches of a baseline, heads, fresh devices, cached results."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runs import configuration
from torch import Tensor, nn

import crossweep
from crossweep.bench.basic import basic
from crossweep.build import build
from crossweep.nn.convert import analog_weights
from crossweep.rng import Stream
from crossweep.training import experiment as experiment_module
from crossweep.training import loop as loop_module
from crossweep.training.cache import fingerprint
from crossweep.training.evaluate import Score
from crossweep.training.experiment import Experiment, paired
from crossweep.training.fit_settings import PARAMETER_KINDS, OptimizerSettings
from crossweep.training.progress import Silent

WORDS = (
    *("data=synthetic", "data.train_per_class=20", "data.test_per_class=10", "model=mlp", "model.widths=[8]"),
    *("training.pretrain.epochs=1", "training.finetune.epochs=2", "training.finetune.batch_size=10"),
    *("evaluation.fresh_devices=3", "quiet=true", "training.baseline=[sgd]", "engine.backend=reference"),
)


@pytest.fixture(autouse=True)
def own_multirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))


@cache
def standard() -> Experiment:
    """The experiment that is only looked at."""
    return experiment()


def experiment(*words: str) -> Experiment:
    made = build(configuration(*WORDS, *words))
    assert isinstance(made, Experiment)
    return made


def test_a_baseline_sees_the_same_batches_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order and augmentation: the images themselves, as the network sees them."""
    seen: dict[str, list[Tensor]] = {}
    epoch = loop_module._epoch

    def watched(crew: Any, runs: list[loop_module.Running], number: int) -> None:
        (run,) = runs
        shown = seen.setdefault(run.loop.title, [])
        hook = run.loop.model.register_forward_pre_hook(
            lambda model, images: shown.append(images[0].clone()) if model.training else None
        )
        try:
            epoch(crew, runs, number)
        finally:
            hook.remove()

    monkeypatch.setattr(loop_module, "_epoch", watched)
    experiment("seed.training=3").run(tmp_path, Silent())
    analog, paired = seen["fine-tune"], seen["baseline sgd"]
    assert len(analog) == len(paired) > 4
    assert all(torch.equal(one, other) for one, other in zip(analog, paired, strict=True))
    assert not torch.equal(analog[0], analog[len(analog) // 2])  # another order in the next epoch


@pytest.mark.parametrize(("rule", "kinds"), [("cttv2", ("head",)), ("digital", PARAMETER_KINDS)])
def test_beside_crossbars_only_the_kinds_that_are_named_train(
    rule: str, kinds: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digital network trains as a whole, as the baselines do."""
    trained: dict[str, tuple[str, ...]] = {}

    def noted(loops: list[loop_module.Loop]) -> list[loop_module.FitResult]:
        trained.update({loop.title: tuple(loop.settings.digital_parameters) for loop in loops})
        return [loop_module.FitResult("complete", []) for _ in loops]

    monkeypatch.setattr(loop_module, "train_together", noted)
    monkeypatch.setattr(experiment_module, "train_together", noted)
    words = ("training.finetune.digital_parameters=[head]", "evaluation.fresh_devices=0", f"algorithm={rule}")
    experiment(*words).run(tmp_path, Silent())
    assert (trained["fine-tune"], trained["baseline sgd"]) == (kinds, PARAMETER_KINDS)


def test_each_split_has_its_own_final_score(monkeypatch: pytest.MonkeyPatch) -> None:
    task = standard().data.target()
    assert task.validation is not None
    of = {id(task.test): Score(0.25, 3.0), id(task.validation): Score(0.5, 2.0)}
    monkeypatch.setattr(experiment_module, "evaluate", lambda model, split: of[id(split)])
    fit = loop_module.FitResult("complete", [{"train_loss": 1.0}])
    assert experiment_module.scores(nn.Identity(), task, fit) == {
        "test_accuracy": 0.25,
        "test_error": 75.0,
        "test_loss": 3.0,
        "validation_accuracy": 0.5,
        "validation_loss": 2.0,
        "train_loss": 1.0,
    }


@pytest.mark.parametrize(("share", "names"), [(1.0, ["mlp.0", "head"]), (0.05, ["head"]), (0.0, [])])
def test_a_share_of_the_layers_is_on_crossbars(share: float, names: list[str]) -> None:
    made = experiment(f"analog.share={share}")
    network = made.digital_model(made.model.build((1, 8, 8), 5, Stream(1).generator()), 5)
    assert list(analog_weights(made.analog_model(network, made.factory)[0])) == names
    assert ("transfer_weight_error" in made.metric_names) == bool(names)


def test_heads_depend_on_the_seed_of_training_and_on_no_other() -> None:
    def head(*words: str) -> Tensor:
        made = experiment(*words)
        network = made.digital_model(made.pretrained(made.data.source(), Silent()), 4)
        return network.get_classifier().weight.detach()  # type: ignore[operator,no-any-return]

    first = head()
    assert torch.equal(first, head("seed.device=5"))
    assert not torch.equal(first, head("seed.training=5"))


def test_fresh_devices_are_other_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[nn.Module] = []
    analog_model = Experiment.analog_model

    def watched(self: Experiment, *given: Any) -> Any:
        made = analog_model(self, *given)
        models.append(made[0])
        return made

    monkeypatch.setattr(Experiment, "analog_model", watched)
    experiment("noise.weight_transfer=0.1", "training.baseline=[]").run(tmp_path, Silent())
    assert len(models) == 4  # the trained one and three fresh ones
    bounds, errors = [], []
    for model in models:
        weight = next(iter(analog_weights(model).values()))
        (block,) = weight.parts()
        bounds.append(list(block.tiles().values())[-1].cells.w_max)
        errors.append(block.weight)
    for i in range(4):
        for j in range(i):
            assert not torch.isclose(bounds[i], bounds[j]).any()
            assert not torch.equal(errors[i], errors[j])


BOTH, OWN, NONE = {"pretrained", "baselines"}, {"baselines"}, set[str]()


def changed(made: Experiment, path: str, value: Any) -> Experiment:
    """The experiment with one value of a nested description replaced."""
    name, _, rest = path.partition(".")
    held = getattr(made, name)
    if not rest:
        return replace(made, **{name: value})
    if isinstance(held, dict):
        return replace(made, **{name: held | {rest: value}})
    return replace(made, **{name: changed(held, rest, value)})


@pytest.mark.parametrize(
    ("path", "value", "kinds"),
    [
        ("pretraining_seed", 1, BOTH),
        ("pretrain.epochs", 2, BOTH),
        ("pretrain.optimizer.lr", 0.012, BOTH),
        ("model_key.widths", [9], BOTH),
        ("data.source_classes", 6, BOTH),
        ("data.target_classes", 6, OWN),
        ("torch_device", torch.device("cuda"), BOTH),
        ("version", "another", BOTH),
        ("factory.draws", Stream(1), OWN),
        ("finetune.epochs", 3, OWN),
        ("finetune.batch_size", 5, OWN),
        ("finetune.label_smoothing", 0.17, OWN),
        ("finetune.schedule.final", 0.3, OWN),
        ("baselines.sgd", basic(OptimizerSettings, lr=0.012), OWN),
        ("factory.population", Stream(1), NONE),
        ("finetune.analog_lr", 0.012, NONE),
    ],
)
def test_cached_results_are_known_by_all_that_made_them(
    path: str, value: object, kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result is computed anew where, and only where, something that enters it is another."""
    found: dict[str, str] = {}

    def look_up(folder: Path, content: dict[str, Any], compute: object) -> Any:
        found[folder.name] = fingerprint(content)
        return {"scores": {}, "model": {}, "history": [], "state": "complete"}

    def look_up_each(folder: Path, contents: list[dict[str, Any]], compute: object) -> list[Any]:
        return [look_up(folder, content, compute) for content in contents]

    def lookups(made: Experiment) -> dict[str, str]:
        network = made.pretrained(made.data.source(), Silent())
        paired("sgd", [made], [network], made.data.target(), [Silent()])
        return dict(found)

    monkeypatch.setattr(experiment_module, "once", look_up)
    monkeypatch.setattr(experiment_module, "once_each", look_up_each)
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
    made = standard()
    before = lookups(made)
    if path == "version":
        monkeypatch.setattr(crossweep, "__version__", value)
    after = lookups(made if path == "version" else changed(made, path, value))
    assert before.keys() == BOTH
    assert {kind for kind in before if before[kind] != after[kind]} == kinds
