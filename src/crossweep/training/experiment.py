"""The experiment: pretrain digitally, transfer to crossbars, fine-tune in memory, compare with digital training."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock
from torch import nn

import crossweep
from crossweep.algorithms.base import AbstractAlgorithm
from crossweep.configured import metric_after
from crossweep.data.base import AbstractData, Split, Task
from crossweep.errors import ConfigError, DivergedError
from crossweep.models.base import AbstractModel, new_head
from crossweep.models.parts import parts
from crossweep.nn.convert import ConvertedLayer, analog_weights, to_digital
from crossweep.nn.self_check import SAMPLES
from crossweep.records import CHECKPOINT_NAME
from crossweep.rng import Stream
from crossweep.tiles.factory import TileFactory
from crossweep.training import endurance
from crossweep.training.allocation import allocating
from crossweep.training.beside import beside
from crossweep.training.cache import once, once_each
from crossweep.training.caveats import caveats
from crossweep.training.conversion import Conversion
from crossweep.training.endurance import PULSES, Wear
from crossweep.training.estimate import Hardware, estimate
from crossweep.training.evaluate import Score, evaluate
from crossweep.training.fit_settings import PARAMETER_KINDS, FitSettings, OptimizerSettings
from crossweep.training.loop import FitResult, Loop, Row, restore, train_together
from crossweep.training.outline import Outline, fresh, loads, outlined, outlines
from crossweep.training.place import Kind, Load, faster, refused
from crossweep.training.progress import Progress, Silent
from crossweep.training.reference import Candidate, choose
from crossweep.training.retention import errors_after

log = logging.getLogger(__name__)

_METRICS = (
    "test_accuracy",
    "test_error",
    "baseline_error",
    "error_increase",
    "test_loss",
    "loss_increase",
)  # null where there is no result


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an experiment found. Accuracies are shares in 0..1, errors per cent, increases percentage points.

    The fields are those of the record (``crossweep.records.RunRecord``).
    """

    state: str
    metrics: Mapping[str, float | None]
    baselines: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    history: Sequence[Row] = ()
    conversion: Sequence[ConvertedLayer] = ()
    cost: Mapping[str, float] = field(default_factory=dict)
    endurance: Sequence[Wear] = ()
    estimate: Mapping[str, float] = field(default_factory=dict)
    reference: str | None = None
    warnings: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A complete experiment, ready to run.

    Args:
        data: source and target task.
        model: the network's description.
        model_key: plain values that determine the network, for cache keys.
        rule: training rule of the tiles.
        factory: makes the tiles; holds the streams of ``seed.device`` and ``seed.training``.
        conversion: which layers become analog.
        pretrain: the digital loop on the source task.
        finetune: the loop on the target task.
        baselines: optimizers of the paired digital runs by name; the best by validation loss is the reference.
        pretraining_seed: seed of the pretrained network.
        fresh_devices: number of fresh device populations at the end.
        times: when the trained network is evaluated again [mini-batch].
        trainings: that the same devices must endure [1].
        target_loss: training loss up to which pulses are counted [nat]; None: there is none.
        hardware: constants for estimates of time and energy.
        cache: folder of shared artefacts.
        torch_device: where to compute.
    """

    data: AbstractData
    model: AbstractModel
    model_key: Mapping[str, Any]
    rule: AbstractAlgorithm
    factory: TileFactory
    conversion: Conversion
    pretrain: FitSettings
    finetune: FitSettings
    baselines: Mapping[str, OptimizerSettings]
    pretraining_seed: int
    fresh_devices: int
    times: Sequence[float]
    trainings: int
    target_loss: float | None
    hardware: Hardware
    cache: Path
    torch_device: torch.device

    def run(self, folder: Path, progress: Progress) -> Result:
        """Do it all; the fine-tuning's checkpoint lies in ``folder``."""
        return run_together([self], [folder], [progress])[0]

    def trained(self, checkpoint: Path, task: Task, *, draws: bool) -> nn.Module:
        """The network of a checkpoint that `run` left.

        Args:
            checkpoint: the file.
            task: the target task.
            draws: whether its reads draw what would have come next in the run, or afresh.

        Raises:
            ConfigError: the file cannot be read, or is of another network.
        """
        network = fresh(self.model, Outline.of(task), Stream(self.pretraining_seed).generator())
        model, _ = self.analog_model(network.to(self.torch_device), self.factory)
        streams = [Stream(self.factory.draws.seed, "training"), self.factory.draws]
        restore(checkpoint, model, streams if draws else [])
        return model.eval()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Metrics of a complete run."""
        names = ["test_accuracy", "test_error", "test_loss"]
        if getattr(self.data, "validation", True):
            names += ["validation_accuracy", "validation_loss"]
        if self.finetune.epochs:
            names += ["train_loss"]
        if not self.rule.is_digital and not self.conversion.is_empty:
            names += ["transfer_weight_error", *PULSES]
            names += ["pulses_to_target"] * (self.target_loss is not None)
            names += ["fresh_error_mean"] * (self.fresh_devices > 0) + ["fresh_error_std"] * (
                self.fresh_devices > 1
            )
            names += [metric_after(time) for time in self.times]
        if self.baselines:
            names += ["baseline_error", "error_increase", "loss_increase"]
        return tuple(names)

    def check(self) -> None:
        """Refuse what `run` would refuse at its beginning, without training and without crossbars.

        Raises:
            ConfigError: the data cannot be read or are too few, no network suits them, a pattern names no layer, or the
                crossbars do not fit into memory.
        """
        source, target = outlines(self.data)
        self._require(source, target, outlined(self.model, target))

    def placed(self, together: int = 1) -> "Experiment":
        """This experiment where it is faster, on the CPU or on the GPU; a line says where and why.

        Args:
            together: how many like it train at once.
        """
        target = outlines(self.data)[1]
        analog = set(self.conversion.names(outlined(self.model, target), self.rule))
        total: dict[Kind, Load] = {"analog": Load(), "digital": Load()}
        for name, load in loads(self.model, target).items():
            kind: Kind = "analog" if name in analog else "digital"
            total[kind] += Load(load.calls, load.work * self.finetune.batch_size * together)
        why_not = refused(self.rule, self.factory) if analog else None
        place = faster(total, torch.get_num_threads(), why_not)
        _say(f"compute_device: {place.device}; {place.reason}")
        device = torch.device(place.device)
        return replace(self, torch_device=device, factory=replace(self.factory, torch_device=device))

    def _require(self, source: Outline, target: Outline, network: nn.Module) -> None:
        for key, settings, found in (
            ("pretrain", self.pretrain, source),
            ("finetune", self.finetune, target),
        ):
            if settings.batch_size > found.samples:
                raise ConfigError(
                    f"training.{key}.batch_size: must be at most the {found.samples} training samples of {found.name},"
                    f" got {settings.batch_size}"
                )
        self.conversion.require_memory(network, self.rule, self.factory)

    def _self_check(self, source: Task, task: Task) -> None:
        """Check, convert a fresh network, and compare it with the digital one, before anything that costs time.

        Raises:
            ConfigError: see ``check``; or the chosen layers cannot go onto crossbars, see ``self_check``.
        """
        generator = Stream(self.pretraining_seed, "self_check").generator()
        target = Outline.of(task)
        network = fresh(self.model, target, generator)
        self._require(Outline.of(source), target, network)
        images = torch.rand(SAMPLES, *task.input_shape, generator=generator)
        self.conversion.check(network, self.rule, self.factory, images)

    # -- the parts ---------------------------------------------------------------------------------------------

    @property
    def source_key(self) -> dict[str, Any]:
        """Everything that determines the pretrained weights."""
        return {
            "crossweep": crossweep.__version__,
            "data": self.data.fingerprint()["source"],
            "model": self.model_key,
            "pretrain": asdict(self.pretrain),
            "seed": self.pretraining_seed,
            "device": self.torch_device.type,
        }

    def pretrained(self, task: Task, progress: Progress) -> nn.Module:
        """The network trained on the source task ``task``, from the cache or computed now; on the CPU.

        Raises:
            DivergedError: its training diverged, now or when the cache was filled.
        """
        stream = Stream(self.pretraining_seed, "pretraining")
        model = self.model.build(task.input_shape, task.classes, stream.fork("init").generator())

        def compute(unfinished: Path) -> Mapping[str, Any]:
            here, moved = model.to(self.torch_device), task.to(self.torch_device)
            fit = self.loop("pretrain", here, moved, self.pretrain, [stream], unfinished, progress).run()
            return {"model": here.state_dict(), "history": fit.history, "state": fit.state}

        saved = once(self.cache / "pretrained", self.source_key, compute)
        if saved["state"] == "diverged":
            raise DivergedError(
                f"pretraining: diverged in epoch {len(saved['history']) + 1} of {self.pretrain.epochs}, so there are no "
                "weights to transfer; lower training.pretrain.optimizer.lr"
            )
        model.cpu().load_state_dict(saved["model"])
        return model

    def digital_model(self, pretrained: nn.Module, classes: int) -> nn.Module:
        """The pretrained network with a fresh head for the target task; the head depends on ``seed.training``."""
        generator = Stream(self.factory.draws.seed, "head").generator()
        return new_head(pretrained, classes, generator).to(self.torch_device)

    def analog_model(
        self, digital: nn.Module, factory: TileFactory
    ) -> tuple[nn.Module, list[ConvertedLayer]]:
        """A copy of ``digital`` with the chosen layers on crossbars."""
        return self.conversion.convert(digital, self.rule, factory)

    def _baseline_key(self, settings: FitSettings) -> dict[str, Any]:
        """Everything that determines a paired digital run."""
        return {
            "source": self.source_key,
            "data": self.data.fingerprint()["target"],
            "finetune": {k: v for k, v in asdict(settings).items() if k != "analog_lr"},
            "seed": self.factory.draws.seed,
        }

    def _fresh(self, model: nn.Module, task: Task) -> dict[str, float]:
        """Test error after writing the trained weights to new device populations."""
        trained, errors = to_digital(model), []
        for i in range(self.fresh_devices):
            name = f"fresh_{i}"
            factory = replace(
                self.factory,
                population=self.factory.population.fork(name),
                draws=self.factory.draws.fork(name),
            )
            fresh, _ = self.analog_model(trained, factory)
            errors.append(100 * (1 - evaluate(fresh, task.test).accuracy))
        found = {"fresh_error_mean": fmean(errors)} if errors else {}
        return found | ({"fresh_error_std": stdev(errors)} if len(errors) > 1 else {})

    def _finish(self, one: "_Instance", task: Task, fit: FitResult) -> Result:
        """All that is told of a trained network."""
        assert one.model is not None
        found = scores(one.model, task, fit)
        metrics: dict[str, float | None] = {**found, "transfer_weight_error": one.written}
        arrays = endurance.wear(one.model, one.calibrated)
        metrics |= endurance.metrics(arrays, fit.history, self.trainings, self.target_loss)
        if fit.state == "complete" and one.table:
            metrics |= self._fresh(one.model, task) | errors_after(one.model, task, self.times)
        if one.reference is not None:
            baseline, loss = (one.reference.scores[name] for name in ("test_error", "test_loss"))
            assert baseline is not None and loss is not None
            metrics |= {"baseline_error": baseline, "error_increase": found["test_error"] - baseline}
            metrics |= {"loss_increase": found["test_loss"] - loss}
        return Result(
            state=fit.state,
            metrics=metrics,
            baselines={candidate.name: candidate.scores for candidate in one.candidates},
            history=fit.history,
            conversion=one.table,
            cost=_cost(one.model),
            endurance=arrays,
            estimate=estimate(one.model, self.hardware),
            reference=None if one.reference is None else one.reference.name,
            warnings=caveats(task, fit, one.candidates, one.reference, found["test_error"]),
        )

    def loop(
        self,
        title: str,
        model: nn.Module,
        task: Task,
        settings: FitSettings,
        streams: Sequence[Stream],
        checkpoint: Path,
        progress: Progress,
        head: Sequence[str] | None = None,
    ) -> Loop:
        return Loop(
            title=title,
            model=model,
            task=task,
            settings=settings,
            head=sorted(parts(model)["head"]) if head is None else head,
            streams=streams,
            checkpoint=checkpoint,
            progress=progress,
        )


@dataclass
class _Instance:
    """An experiment among others, and how far it is."""

    experiment: Experiment
    folder: Path
    progress: Progress
    pretrained: nn.Module | None = None
    model: nn.Module | None = None
    table: Sequence[ConvertedLayer] = ()
    written: float | None = None
    calibrated: Sequence[Wear] = ()
    candidates: list[Candidate] = field(default_factory=list)
    reference: Candidate | None = None
    result: Result | None = None

    def fail(self, error: DivergedError) -> None:
        """There is nothing to compare with."""
        rows = {candidate.name: candidate.scores for candidate in self.candidates}
        self.result = Result(
            state="failed", metrics=dict.fromkeys(_METRICS), baselines=rows, warnings=[str(error)]
        )


@cache
def _say(line: str) -> None:
    """A line for the user, once in a process."""
    log.warning(line)


def run_together(
    experiments: Sequence[Experiment], folders: Sequence[Path], progresses: Sequence[Progress]
) -> list[Result]:
    """Run several experiments in one process, their trainings side by side where they can go in step.

    Each finds what it would have found alone, up to the rounding of products of another shape.

    Args:
        experiments: of one task and network, see ``company.why_apart``.
        folders: of the checkpoint of each one's fine-tuning.
        progresses: where the life signs of each go.
    """
    first = experiments[0]
    with allocating("data"):
        source, task = first.data.source(), first.data.target().to(first.torch_device)
    first._self_check(source, task)
    with _compiling(experiments, task) as compiled:
        instances = _compared(experiments, folders, progresses, source, task)
        if any(one.result is None for one in instances):
            compiled()
    going = [one for one in instances if one.result is None]
    fits = train_together([_fine_tuning(one, task) for one in going]) if going else []
    for one, fit in zip(going, fits, strict=True):
        one.result = one.experiment._finish(one, task, fit)
    return [one.result for one in instances if one.result is not None]


def _compared(
    experiments: Sequence[Experiment],
    folders: Sequence[Path],
    progresses: Sequence[Progress],
    source: Task,
    task: Task,
) -> list[_Instance]:
    """Each with its pretrained network and its digital reference, or with the result that there are none."""
    first = experiments[0]
    instances = [_Instance(*given) for given in zip(experiments, folders, progresses, strict=True)]
    for one in instances:
        try:
            one.pretrained = one.experiment.pretrained(source, one.progress)
        except DivergedError as error:
            one.fail(error)
    going = [one for one in instances if one.result is None]
    networks = [one.pretrained for one in going if one.pretrained is not None]
    for name in first.baselines if going else ():
        own, progresses = [one.experiment for one in going], [one.progress for one in going]
        for one, candidate in zip(going, paired(name, own, networks, task, progresses), strict=True):
            one.candidates.append(candidate)
    for one in instances:
        try:
            one.reference = choose(one.candidates, task.train) if one.result is None else None
        except DivergedError as error:
            one.fail(error)
    return instances


def _compiling(experiments: Sequence[Experiment], task: Task) -> AbstractContextManager[Callable[[], bool]]:
    """Where nothing is compiled yet, a second process does it beside the digital trainings."""
    first = experiments[0]
    if first.rule.is_digital or first.factory.chosen.compiled:
        return nullcontext(lambda: True)
    log.warning("compiling kernels for this machine, once: about a minute, beside the digital training")
    return beside(rehearse, experiments, _short(task, first.finetune.batch_size))


def rehearse(experiments: Sequence[Experiment], task: Task) -> None:
    """An epoch of the fine-tuning of untrained networks: it calls what `run_together` will call, and leaves nothing.

    Several processes take turns, so that all but the first find everything compiled.
    """
    cache = experiments[0].cache
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "compiling.lock"), TemporaryDirectory() as folder:
        instances = []
        for k, one in enumerate(experiments):
            short = replace(one, finetune=replace(one.finetune, epochs=1))
            network = fresh(one.model, Outline.of(task), Stream(0).generator())
            instances.append(_Instance(short, Path(folder, str(k)), Silent(), network))
        train_together([_fine_tuning(one, task) for one in instances])


def _short(task: Task, samples: int) -> Task:
    """The same with a few samples in every split."""

    def some(split: Split) -> Split:
        return split.take(torch.arange(min(samples, len(split))))

    validation = None if task.validation is None else some(task.validation)
    return replace(task, train=some(task.train), validation=validation, test=some(task.test))


def paired(
    name: str,
    experiments: Sequence[Experiment],
    pretrained: Sequence[nn.Module],
    task: Task,
    progresses: Sequence[Progress],
) -> list[Candidate]:
    """The digital run ``name`` of each, cached: same weights, same batches, every parameter trains."""
    first = experiments[0]
    settings = [
        replace(one.finetune, optimizer=first.baselines[name], digital_parameters=PARAMETER_KINDS)
        for one in experiments
    ]

    def loop(place: int, unfinished: Path) -> Loop:
        own = experiments[place]
        model = own.digital_model(pretrained[place], task.classes)
        streams = [Stream(own.factory.draws.seed, "training")]
        return own.loop(
            f"baseline {name}", model, task, settings[place], streams, unfinished, progresses[place]
        )

    def compute(missing: Mapping[int, Path]) -> list[Mapping[str, Any]]:
        loops = [loop(place, path) for place, path in missing.items()]
        return [
            {"scores": scores(own.model, task, fit), "history": fit.history, "state": fit.state}
            for own, fit in zip(loops, train_together(loops), strict=True)
        ]

    keys = [one._baseline_key(own) for one, own in zip(experiments, settings, strict=True)]
    found = once_each(first.cache / "baselines", keys, compute)
    return [_candidate(name, saved, settings[0]) for saved in found]


def _candidate(name: str, saved: Mapping[str, Any], settings: FitSettings) -> Candidate:
    diverged = saved["state"] == "diverged"
    row = dict.fromkeys(saved["scores"]) if diverged else saved["scores"]
    found = {**row, "lr": settings.optimizer.lr}
    return Candidate(name=name, diverged=diverged, scores=found, history=saved["history"])


def _fine_tuning(one: _Instance, task: Task) -> Loop:
    """The transfer to crossbars, and the loop that trains them."""
    own = one.experiment
    assert one.pretrained is not None
    digital = own.digital_model(one.pretrained, task.classes)
    one.model, one.table = own.analog_model(digital, own.factory)
    one.written, one.calibrated = _write_error(digital, one.model), endurance.wear(one.model)
    head = sorted(parts(digital)["head"])
    kinds = PARAMETER_KINDS if own.rule.is_digital else own.finetune.digital_parameters
    settings = replace(own.finetune, digital_parameters=kinds)
    streams = [Stream(own.factory.draws.seed, "training"), own.factory.draws]
    checkpoint = one.folder / CHECKPOINT_NAME
    return own.loop("fine-tune", one.model, task, settings, streams, checkpoint, one.progress, head=head)


def scores(model: nn.Module, task: Task, fit: FitResult) -> dict[str, float]:
    """Final scores; a diverged run scores as chance does."""

    def score(split: Split) -> Score:
        return (
            Score(1 / task.classes, math.log(task.classes))
            if fit.state == "diverged"
            else evaluate(model, split)
        )

    test = score(task.test)
    found = {"test_accuracy": test.accuracy, "test_error": 100 * (1 - test.accuracy), "test_loss": test.loss}
    if task.validation is not None:
        validation = score(task.validation)
        found |= {"validation_accuracy": validation.accuracy, "validation_loss": validation.loss}
    if fit.history:
        found["train_loss"] = fit.history[-1]["train_loss"]
    return found


def _write_error(digital: nn.Module, model: nn.Module) -> float | None:
    """Root mean square error of the written weights, relative to the weights' own root mean square [1]."""
    error = total = 0.0
    for name, weight in analog_weights(model).items():
        written, target = weight.logical_weight(), digital.get_parameter(f"{name}.weight").detach()
        error += float((written - target.view_as(written)).square().sum())
        total += float(target.square().sum())
    return (error / total) ** 0.5 if total else None


def _cost(model: nn.Module) -> dict[str, float]:
    """What training cost, summed over all crossbars.

    Keys: those of ``AnalogWeight.cost`` (samples, reads, transfers, digital operations, pulses, memory) and, for
    every tile role, ``pulses_per_device_<role>``; ``digital_memory_per_weight`` [values], ``digital_bytes_per_weight``.
    """
    total: dict[str, float] = {}
    devices: dict[str, int] = {}
    for weight in analog_weights(model).values():
        for block in weight.parts():
            for name, number in block.cost().items():
                total[name] = total.get(name, 0.0) + number
            for role, tile in block.tiles().items():
                devices[role] = devices.get(role, 0) + tile.state.numel()
    if not total:
        return {}
    per_device = {f"pulses_per_device_{role}": total[f"pulses_{role}"] / n for role, n in devices.items()}
    memory = {
        f"{name}_per_weight": total[name] / total["weights"] for name in ("digital_memory", "digital_bytes")
    }
    return total | per_device | memory
