"""The entry point end to end on tiny settings: record, cache, resume, bad input."""

import csv
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from crossweep.build import build
from crossweep.console import epoch_line
from crossweep.errors import ConfigError
from crossweep.records import read_record
from crossweep.sweep.trial import TrialHandle, running
from crossweep.train import (
    CheckGrid,
    Faults,
    Run,
    _check_pruner,
    _grid,
    _key,
    _learning_rates,
    _sweep_hook,
    main,
    train,
    train_all,
)
from crossweep.training import company, experiment
from crossweep.training.checkpoint import load_checkpoint
from tests.runs import configuration

TINY = (
    "data=synthetic",
    "data.train_per_class=20",
    "data.test_per_class=20",
    "model=mlp",
    "model.widths=[16]",
    "model.activation=tanh",
    "training.pretrain.epochs=2",
    "training.finetune.epochs=3",
    "training.finetune.batch_size=10",
    "evaluation.fresh_devices=2",
    "quiet=true",
)


def tiny(*overrides: str) -> list[str]:
    if any(word.startswith("algorithm=") for word in overrides):
        return [*TINY, *overrides]
    return [
        *TINY,
        "algorithm.auto_granularity=20.0",
        *overrides,
    ]  # few samples: C must get pulses all the same


def config(*overrides: str) -> dict[str, Any]:
    return configuration(*tiny(*overrides))


@pytest.fixture(autouse=True)
def own_multirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSWEEP_MULTIRUN", str(tmp_path / "multirun"))


def run(folder: Path, *overrides: str, **more: Any) -> dict[str, Any]:
    return train(
        config(*overrides), folder, choices={"algorithm": "cttv2"}, overrides=list(overrides), **more
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(folder / "checkpoint.safetensors")["model"]
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def test_record_holds_what_a_reader_asks_for(tmp_path: Path) -> None:
    record = run(tmp_path / "a")
    on_disk = json.loads((tmp_path / "a" / "record.json").read_text())
    assert on_disk["state"] == record["state"] == "complete"
    metrics = on_disk["metrics"]
    baselines = on_disk["baselines"]
    assert list(baselines) == ["adamw", "momentum", "sgd"]
    reference = on_disk["reference"]
    assert reference == min(baselines, key=lambda name: baselines[name]["validation_loss"])
    assert metrics["baseline_error"] == baselines[reference]["test_error"]
    assert metrics["error_increase"] == pytest.approx(metrics["test_error"] - metrics["baseline_error"])
    assert baselines["sgd"]["lr"] == 0.1 and baselines["momentum"]["validation_accuracy"] > 0.2
    assert metrics["test_error"] == pytest.approx(100 * (1 - metrics["test_accuracy"]))
    assert metrics["fresh_error_std"] >= 0 and metrics["validation_loss"] > 0
    assert [row["epoch"] for row in on_disk["history"]] == [1, 2, 3]
    assert on_disk["learning_rates"]["analog"] == 0.1 and on_disk["learning_rates"]["fast_lr"] == 1.0
    assert on_disk["learning_rates"]["baselines"]["sgd"]["lr"] == 0.1
    assert on_disk["config"]["device"]["dw_min"] == 0.01 and torch.__version__.startswith(
        on_disk["versions"]["torch"]
    )
    cost = on_disk["cost"]
    assert cost["pulses_fast"] > cost["pulses_slow"] > 0
    assert cost["pulses"] == cost["pulses_fast"] + cost["pulses_slow"]
    assert cost["digital_memory_per_weight"] == 1  # the buffer H of TTv2
    assert cost["slice_reads"] > 0 and cost["digital_operations"] > 0 and cost["forward_reads"] > 0
    assert sum(row["share"] for row in on_disk["conversion"]) == pytest.approx(1)
    with (tmp_path / "a" / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("algorithm=cttv2",), {"analog", "fast_lr", "transfer_lr", "digital", "baselines"}),
        (("algorithm=rlv2",), {"analog", "fast_change", "transfer_lr", "digital", "baselines"}),
        (("algorithm=cttv2", "algorithm.fast_lr=0"), {"analog", "transfer_lr", "digital", "baselines"}),
        (("algorithm=analog_sgd",), {"analog", "digital", "baselines"}),
        (("algorithm=digital",), {"digital", "baselines"}),
        (("algorithm=analog_sgd", "task=least_squares", "task.lr=0.25"), {"analog"}),
    ],
)
def test_the_record_tells_the_rates_that_a_run_uses(words: tuple[str, ...], names: set[str]) -> None:
    made = config(*words)
    rates = _learning_rates(made, build(made))
    assert rates.keys() == names
    assert rates.get("analog") in (None, 0.25 if "task=least_squares" in words else 0.1)


def test_what_another_kind_of_device_computes_lies_in_a_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key(**root: object) -> str:
        return _key(_root_=OmegaConf.create({"data": 1, "compute_device": "auto"} | root))

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cpu = key()
    assert cpu == key(compute_device="cpu") == key(quiet=True) != key(data=2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    cuda = key(compute_device="cuda")
    assert cuda == key(compute_device="cuda:1") != cpu == key(compute_device="cpu")
    assert key() not in (cpu, cuda)  # which of the two it is follows from the rest


def test_same_seed_same_bits_and_each_seed_acts_alone(tmp_path: Path) -> None:
    run(tmp_path / "a")
    run(tmp_path / "b")
    run(tmp_path / "device", "seed.device=1")
    run(tmp_path / "training", "seed.training=1")
    first, second = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)
    devices = [name for name in first if name.endswith("cell_w_max")]
    assert devices
    other_devices, other_training = weights(tmp_path / "device"), weights(tmp_path / "training")
    assert all(torch.equal(first[name], other_training[name]) for name in devices)
    assert not any(torch.equal(first[name], other_devices[name]) for name in devices)
    states = [name for name in first if name.endswith("slow.state")]
    assert not all(torch.equal(first[name], other_training[name]) for name in states)


class Stop(Exception):
    """Stands for a power cut."""


def goes_on_bit_for_bit(folder: Path, after: int, *overrides: str) -> None:
    whole = run(folder / "whole", *overrides)

    def cut(epoch: int, row: object) -> bool:
        if epoch == after:
            raise Stop
        return False

    with pytest.raises(Stop):
        run(folder / "cut", *overrides, on_epoch=cut)
    assert not (folder / "cut" / "record.json").exists()
    resumed = run(folder / "cut", *overrides)
    first, second = weights(folder / "whole"), weights(folder / "cut")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert whole["metrics"] == resumed["metrics"]
    drop = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed["history"]]
    assert drop == [{k: v for k, v in row.items() if k != "seconds"} for row in whole["history"]]


@pytest.mark.few(3)
@pytest.mark.parametrize("algorithm", ["cttv2", "analog_sgd", "digital"])
@pytest.mark.parametrize("after", [1, 2])
def test_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, after: int, algorithm: str) -> None:
    goes_on_bit_for_bit(tmp_path, after, f"algorithm={algorithm}")


@pytest.mark.slow
@pytest.mark.parametrize("model", [("swin_micro",), ("resnet_cifar", "model.blocks=1", "model.width=4")])
@pytest.mark.parametrize("algorithm", ["cttv2", "analog_sgd"])
def test_networks_of_every_kind_go_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: tuple[str, ...], algorithm: str
) -> None:
    """With normalisation, running statistics, dropped paths and attention: all that is not a linear layer."""
    words = [word for word in TINY if not word.startswith("model")]
    monkeypatch.setattr(sys.modules[__name__], "TINY", (*words, f"model={model[0]}", *model[1:]))
    goes_on_bit_for_bit(tmp_path, 1, f"algorithm={algorithm}", "training.finetune.epochs=2")


def test_finished_run_is_returned_and_never_starts_afresh(tmp_path: Path) -> None:
    first = run(tmp_path / "a")

    def never(epoch: int, row: object) -> bool:
        raise Stop

    again = run(tmp_path / "a", on_epoch=never)
    assert again["started"] == first["started"] and again["metrics"] == first["metrics"]
    fresh = run(tmp_path / "a", "resume=never")
    assert fresh["metrics"] == first["metrics"] and fresh["wall_seconds"] != first["wall_seconds"]


def test_pretraining_and_baseline_are_computed_once(tmp_path: Path) -> None:
    run(tmp_path / "a")
    cached = {p: p.stat().st_mtime_ns for p in (tmp_path / "multirun" / "cache").rglob("*.safetensors")}
    assert len(cached) == 4  # the network, three digital runs
    run(tmp_path / "b", "symmetry_point.skew=0.2", "algorithm=ttv2")  # nothing digital depends on these
    assert {p: p.stat().st_mtime_ns for p in cached} == cached
    run(tmp_path / "c", "seed.training=1")  # another head and other batches: digital runs of its own
    assert len(list((tmp_path / "multirun" / "cache").rglob("*.safetensors"))) == 7


def test_digital_run_equals_its_baseline(tmp_path: Path) -> None:
    record = run(tmp_path / "a", "algorithm=digital", "training.baseline=[sgd]")
    assert record["metrics"]["error_increase"] == 0 and record["conversion"] == []
    assert record["reference"] == "sgd" and run(tmp_path / "b", "training.baseline=[]")["reference"] is None


def test_divergence_is_a_result(tmp_path: Path) -> None:
    record = run(
        tmp_path / "a", "algorithm=digital", "training.finetune.optimizer.lr=1e9", "model.activation=relu"
    )
    assert record["state"] == "diverged"
    assert record["metrics"]["test_accuracy"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            ("training.pretrain.optimizer.lr=1e9", "model.activation=relu"),
            "pretraining: diverged in epoch",
        ),
        (
            ("training.pretrain.optimizer.lr=1e9", "model.activation=relu", "training.baseline=[]"),
            "pretraining: diverged in epoch",
        ),
        (
            ("training.baseline=[sgd]", "training.baseline_optimizers.sgd.lr=1e9", "model.activation=relu"),
            "reference: every digital run diverged (sgd)",
        ),
        (
            ("training.baseline=[sgd]", "training.baseline_optimizers.sgd.lr=0.0"),
            "reference: the best digital run (sgd) is no better than guessing",
        ),
    ],
    ids=["pretraining", "pretraining, no baseline", "reference", "reference learned nothing"],
)
def test_without_weights_or_reference_there_is_no_result(
    tmp_path: Path, overrides: tuple[str, ...], reason: str
) -> None:
    for folder in ("now", "from the cache"):
        record = run(tmp_path / folder, *overrides)
        assert record["state"] == "failed" and reason in record["warnings"][0]
        assert set(record["metrics"]) >= {"test_error", "error_increase"}
        assert all(value is None for value in record["metrics"].values())
        on_disk = json.loads((tmp_path / folder / "record.json").read_text())
        assert on_disk["reference"] is None and on_disk["metrics"] == record["metrics"]


def test_one_diverged_digital_run_is_a_row_without_numbers(tmp_path: Path) -> None:
    record = run(tmp_path / "a", "training.baseline_optimizers.sgd.lr=1e9", "model.activation=relu")
    assert record["baselines"]["sgd"]["test_error"] is None and record["reference"] != "sgd"
    assert any("digital run sgd diverged" in sentence for sentence in record["warnings"])


def test_without_a_validation_split_the_test_split_chooses_nothing(tmp_path: Path) -> None:
    record = run(tmp_path / "a", "data.validation=0.0", "training.baseline=[sgd,adamw]")
    assert record["reference"] == "sgd"
    assert any("the reference is the first listed, sgd" in sentence for sentence in record["warnings"])
    assert not any("validation" in key for row in record["history"] for key in row)


def test_a_pruner_is_told_the_validation_accuracy_or_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    class Reporter:
        number = 0

        def report(self, value: float, step: int) -> None:
            told.append(value)

        def should_prune(self) -> bool:
            return False

    with running(TrialHandle(Reporter(), maximize=True)):
        hook = _sweep_hook()
        assert hook is not None
        assert not hook(1, {"test_accuracy": 0.9}) and told == []
        assert not hook(2, {"test_accuracy": 0.9, "validation_accuracy": 0.7}) and told == [0.7]
    study = {"study": {"pruner": {"name": "median"}}, "task": None}
    _check_pruner({**study, "data": {"validation": 0.1}})
    _check_pruner({**study, "study": {"pruner": "none"}, "data": {"validation": 0.0}})
    with pytest.raises(ConfigError, match=r"study\.pruner: .*data\.validation > 0"):
        _check_pruner({**study, "data": {"validation": 0.0}})


def test_pruned_run_says_so(tmp_path: Path) -> None:
    record = run(tmp_path / "a", on_epoch=lambda epoch, row: epoch == 2)
    assert record["state"] == "pruned" and len(record["history"]) == 2


def test_checkpoint_can_be_dropped(tmp_path: Path) -> None:
    run(tmp_path / "a", "keep_checkpoint=false")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["history.csv", "record.json", "train.log"]


def test_corrupt_checkpoint_and_foreign_checkpoint_are_clear(tmp_path: Path) -> None:
    run(tmp_path / "a")
    (tmp_path / "a" / "record.json").unlink()
    with pytest.raises(ConfigError, match="does not fit this run"):
        run(tmp_path / "a", "model.widths=[8]")
    path = tmp_path / "a" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"checkpoint.*cannot be read"):
        run(tmp_path / "a")


def test_batch_larger_than_the_data_is_clear(tmp_path: Path) -> None:
    for loop in ("pretrain", "finetune"):
        key = f"training.{loop}.batch_size"
        with pytest.raises(
            ConfigError, match=rf"^{key}: must be at most the \d+ training samples of .*, got 500$"
        ):
            run(tmp_path / "a", f"{key}=500", "training.baseline=[]")
    assert not list(tmp_path.rglob("*.safetensors")), "something has trained"


@pytest.mark.parametrize("harm", [b"", b'{"format": 1, "sta', b"[]", b'{"format": 1}', b'{"format": 9}'])
def test_a_damaged_or_foreign_record_is_one_line_and_its_remedy_works(tmp_path: Path, harm: bytes) -> None:
    (tmp_path / "record.json").write_bytes(harm)
    with pytest.raises(
        ConfigError, match=r"record\.json: (damaged|no record).*; remove it, or run again with resume"
    ):
        run(tmp_path)
    assert run(tmp_path, "resume=never", "training.baseline=[]")["state"] == "complete"


# -- as a user types it: one process each ----------------------------------------------------------------------------


def command(
    tmp_path: Path, *overrides: str, program: tuple[str, ...] = ("-m", "crossweep.train")
) -> subprocess.Popen[str]:
    environment = os.environ | {
        "CROSSWEEP_MULTIRUN": str(tmp_path / "multirun"),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    words = [sys.executable, *program, *tiny(*overrides), "quiet=false"]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def interrupts_reach_children() -> Iterator[None]:
    """A background job of a shell ignores SIGINT, and its children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("device=unobtainium", ("unobtainium", "reram_sb")),
        ("device.dw_mim=0.1", ("dw_mim",)),
        ("noise.weight_transfer=-1.0", ("noise.weight_transfer: must be a number >= 0, got -1.0",)),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    tmp_path: Path,
    override: str,
    parts: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["crossweep-train", *tiny(override), "quiet=false"])
    with pytest.raises(SystemExit) as ended:
        main()
    refused(tmp_path, ended.value.code, *capsys.readouterr(), parts)


def test_a_mistake_on_the_command_line_is_one_line(tmp_path: Path) -> None:
    process = command(tmp_path, "noise.weight_transfer=-1.0")
    out, err = process.communicate()
    refused(tmp_path, process.returncode, out, err, ("noise.weight_transfer: must be a number",))


def refused(folder: Path, code: object, out: str, err: str, parts: tuple[str, ...]) -> None:
    """One line with these parts, and nothing is left of the run."""
    assert code == 2, err
    assert len(err.strip().splitlines()) == 1 and err.startswith("crossweep: "), err
    assert all(part in err for part in parts) and out == ""
    assert not [path for path in folder.rglob("*") if path.is_file()]


# one import for five runs: each is a fork, which kills itself after the first epoch that it has written
KILLED = """
import os, signal, sys
import torch._dynamo  # an optimizer imports it
from crossweep import build, console, train  # what `train` would import when it runs
from crossweep.engine.cpu.kernels import windows
from crossweep.training import loop

written, words, results = loop.save_checkpoint, sys.argv[1:], []
for kill in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, None):
    child = os.fork()
    if not child:
        def save(path, state):
            written(path, state)
            if kill is not None and path.name == "checkpoint.safetensors":
                os.kill(os.getpid(), kill)
        loop.save_checkpoint, sys.argv = save, ["crossweep-train", *words]
        code = 0
        try:
            train.main()
        except SystemExit as error:
            code = error.code
        finally:
            sys.stdout.flush()
            os._exit(code)
    results.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
sys.exit(str(results))
"""


def test_killed_run_goes_on_and_ends_like_an_undisturbed_one(
    tmp_path: Path, interrupts_reach_children: None
) -> None:
    many = ("training.finetune.epochs=5", "training.baseline=[sgd]", "evaluation.fresh_devices=0")
    process = command(tmp_path, *many, program=("-c", KILLED))
    out, err = process.communicate()
    assert err.splitlines()[-1] == "[-9, 130, 143, 0]", err
    (record,) = (tmp_path / "multirun" / "runs").glob("*/record.json")
    assert "results in" in out and str(record.parent) in out.replace("\n", "")
    # each went on where the one before had been killed
    assert [err.count(f"fine-tune {epoch}/5") for epoch in range(1, 6)] == [0, 0, 0, 1, 1]
    undisturbed = run(tmp_path / "whole", *many)
    assert json.loads(record.read_text())["metrics"] == undisturbed["metrics"]
    assert not list((tmp_path / "multirun").rglob("*.tmp")) and not list(
        (tmp_path / "multirun").rglob(".*.json*")
    )


def test_every_failed_run_of_a_grid_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(runs: Sequence[Run]) -> list[dict[str, Any]]:
        seed = runs[0].cfg["seed"]["training"]
        if seed > 0:
            raise ConfigError(f"seed {seed} went wrong")
        return [{"state": "complete", "metrics": {}}]

    monkeypatch.setattr("crossweep.train.train_all", fails)
    words = ["-m", "data=synthetic", "model=mlp", "seed.training=0,1,2", f"hydra.sweep.dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["crossweep-train", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    for seed in (1, 2):
        assert f"seed.training={seed}: seed {seed} went wrong" in said
    assert "2 runs of the grid failed" in said


def test_one_failed_run_of_a_grid_is_named_and_so_is_one_that_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", "data=synthetic", "model=mlp", "seed.training=0,1", f"hydra.sweep.dir={tmp_path}"]
    for error, ending in ((ConfigError("wrong"), SystemExit), (ValueError("a bug"), ValueError)):

        def fails(runs: Sequence[Run], error: Exception = error) -> list[dict[str, Any]]:
            if runs[0].cfg["seed"]["training"]:
                raise error
            return [{"state": "complete", "metrics": {}}]

        monkeypatch.setattr("crossweep.train.train_all", fails)
        monkeypatch.setattr(sys, "argv", ["crossweep-train", *words])
        with pytest.raises(ending):
            main()
        assert f"seed.training=1: {error}" in capsys.readouterr().err


def test_the_log_of_a_run_holds_what_the_terminal_showed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = [*tiny("training.baseline=[momentum]", "evaluation.fresh_devices=0"), "quiet=false"]
    monkeypatch.setattr(sys, "argv", ["crossweep-train", *words])
    main()
    out, err = capsys.readouterr()
    (log,) = (tmp_path / "multirun" / "runs").glob("*/train.log")
    kept = log.read_text()
    lines = err.splitlines()
    assert [line[:21] for line in lines if " 1/" in line] == [
        *("pretrain 1/2         ", "baseline momentum 1/3", "fine-tune 1/3        "),
    ]
    assert max(map(len, lines)) <= 80 and all(line in kept for line in lines)
    assert "on crossbars: 2 layers" in out and "analog layers" not in out
    for said in ("on crossbars: 2 layers", "test error", "learning rates: ", f"results in {log.parent}"):
        assert said in out and said in kept
    monkeypatch.setattr(sys, "argv", ["crossweep-train", *words, "show_layers=true"])
    main()  # the same run, shown again
    assert "analog layers" in capsys.readouterr().out and log.read_text() == kept


def test_an_epoch_fits_into_80_columns() -> None:
    row = {"epoch": 100.0, "train_loss": 123.45678, "train_accuracy": 1.0, "seconds": 12345.6}
    row |= {"validation_accuracy": 0.98765, "test_accuracy": 0.98765}
    line = epoch_line("baseline momentum", row, 100)
    assert line == ("baseline momentum 100/100 loss 123.45 train 1.0000 val 0.9877 test 0.9877 12346 s")
    assert len(epoch_line("baseline momentum", row | {"epoch": 99.0}, 99)) <= 80


def test_a_grid_ends_with_a_table_of_its_runs_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bed = ["task=weight_programming", "task.size=4", "task.samples=100", "task.checkpoints=2", "quiet=true"]
    for seeds in ("0,1", "0,1,2"):  # widened, it keeps the runs that it has
        words = ["-m", *bed, "algorithm=analog_sgd,ttv2", f"seed.device={seeds}"]
        monkeypatch.setattr(sys, "argv", ["crossweep-train", *words])
        main()
    lines = capsys.readouterr().out.splitlines()
    (folder,) = (tmp_path / "multirun" / "grid").iterdir()
    assert folder.name.startswith("algorithm-device-") and len(list(folder.glob("*/record.json"))) == 6
    cells = [[cell.strip() for cell in line.split("│")[1:4]] for line in lines if "complete" in line]
    assert cells[4:] == [[rule, seed, "complete"] for rule in ("analog_sgd", "ttv2") for seed in "012"]
    assert any(str(folder) in line for line in lines)


def test_the_folder_of_a_grid_follows_from_what_it_computes() -> None:
    def name(*words: str) -> str | None:
        found = _grid(words)
        return None if found is None else found.folder.name

    first = name("algorithm=cttv2,agad", "noise.write=0.1")
    assert first == name("noise.write=0.1", "algorithm=cttv2,agad,ttv2", "quiet=true") and first is not None
    assert len({first, name("algorithm=cttv2,agad"), name("noise.write=0.1,0.2", "algorithm=agad")}) == 3
    assert (name("seed.device=range(3)", "analog.exclude=[a,b]") or "").startswith("device-")
    assert name("study=tune") is name("hydra.sweep.dir=x", "seed.device=0,1") is name("seed.device=[") is None


def test_failed_trials_of_a_study_are_no_runs_of_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = (faults := Faults()).failed
    held: ContextVar[Faults] = ContextVar("faults")
    held.set(faults)
    monkeypatch.setattr("crossweep.train._faults", held)
    job = JobReturn(status=JobStatus.FAILED)
    job._return_value = ConfigError("went wrong")
    for sweeper, lines in (
        ("hydra_plugins.crossweep_sweeper.Sweeper", 0),
        ("hydra._internal.BasicSweeper", 1),
    ):
        node = {"sweeper": {"_target_": sweeper}, "overrides": {"task": ["seed.training=1"]}}
        CheckGrid().on_job_end(OmegaConf.create({"hydra": node}), job)
        assert len(failed) == lines


def test_seeds_train_at_once_each_in_the_folder_that_it_has_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*more: str) -> str:
        words = [*tiny("training.finetune.epochs=1"), "hydra.run.dir=runs/${crossweep_key:}", *more]
        monkeypatch.setattr(sys, "argv", ["crossweep-train", *words])
        main()
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    printed = command("seeds=2", "quiet=false")
    assert "2 seeds" in printed and "mean" in printed and "95 %" in printed
    runs = {path.parent.name: read_record(path) for path in (tmp_path / "runs").glob("*/record.json")}
    assert sorted(record["seed"]["training"] for record in runs.values()) == [0, 1]
    assert all(record["config"]["seeds"] == 1 for record in runs.values())
    second = next(record for record in runs.values() if record["seed"]["training"] == 1)
    assert second["seed"]["device"] == 1 and second["overrides"][-2:] == ["seed.device=1", "seed.training=1"]
    assert not any(word.startswith("seeds=") for word in second["overrides"])
    # alone it is the same run, which is finished
    assert "already finished" in command("seed.device=1", "seed.training=1", "quiet=false")
    assert "2 seeds" in command("seeds=2", "quiet=false")
    assert len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.parametrize("given", ["0", "1.5", "many"])
def test_the_number_of_seeds_is_a_whole_number(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["crossweep-train", *tiny(), f"seeds={given}"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.startswith("crossweep: seeds: must be a whole number >= 1, got")


def test_where_memory_runs_out_half_as_many_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(company, "ROOM", company.Room())
    sizes: list[int] = []
    together = experiment.run_together

    def cramped(experiments: Sequence[Any], *rest: Any) -> Any:
        sizes.append(len(experiments))
        if len(experiments) > 1:  # it has drawn something already
            experiments[0].factory.tile("single", (2, 2))
        if len(experiments) > 2:
            raise torch.OutOfMemoryError("tried to allocate 3 GiB")
        return together(experiments, *rest)

    monkeypatch.setattr(experiment, "run_together", cramped)
    words = ("training.baseline=[]", "training.finetune.epochs=1", "evaluation.fresh_devices=0")

    def runs(name: str) -> list[Run]:
        return [
            Run(
                cfg=config(*words, f"seed.device={k}"),
                folder=tmp_path / f"{name}_{k}",
                choices={},
                overrides=[],
            )
            for k in range(5)
        ]

    with caplog.at_level(logging.WARNING):
        found = train_all(runs("together"))
    assert sizes == [5, 2, 2, 1]
    assert [line for line in caplog.messages if "memory" in line] == [
        "not enough memory for 5 trainings at once: 2 at a time"
    ]
    train_all(runs("again"))  # the process has learned
    assert sizes == [5, 2, 2, 1, 2, 2, 1]
    alone = [train_all([one])[0] for one in runs("alone")]
    for first, second in zip(found, alone, strict=True):
        assert first["metrics"]["transfer_weight_error"] == second["metrics"]["transfer_weight_error"]
        assert first["history"][0]["train_loss"] == pytest.approx(
            second["history"][0]["train_loss"], rel=0.05
        )
