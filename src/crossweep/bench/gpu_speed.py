"""What the engine on a GPU costs: counting, whole steps, many instances, a training; the digital step in a CUDA graph."""

import copy
import gc
import warnings
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from crossweep.bench import steps
from crossweep.bench.basic import basic
from crossweep.bench.updates import Case, weight_of
from crossweep.data.synthetic import Synthetic
from crossweep.engine.pulse_plan import UpdateParameters, plan_pulses
from crossweep.rng import Stream
from crossweep.training.fit_settings import FitSettings, OptimizerSettings, RateSchedule
from crossweep.training.graph import CUDAGraph
from crossweep.training.loop import FitResult, Loop
from crossweep.training.progress import Silent

Step = Callable[[], object]
CUDA = torch.device("cuda")
BATCH = 64  # images of a step
# as conf/data/cifar.yaml has it for ten classes of CIFAR-100: 4,500 images to train on, 500 and 1,000 to look at
CIFAR = Synthetic(
    source_classes=10, target_classes=10, channels=3, size=32, features=16, shared=1.0, noise=2.0, train_per_class=500,
    test_per_class=100, validation=0.1, seed=0,
)  # fmt: skip
CIFAR_EPOCHS = 5


def events(call: Step, *, most: int = 7, seconds: float = 4.0) -> float:
    """Median time of a call by the GPU's clock [s], after two that do not count; where the host is slower, the host's."""
    call()
    torch.cuda.synchronize()
    times: list[float] = []
    while len(times) < most and (len(times) < 2 or sum(times) < seconds):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        call()
        after.record()
        torch.cuda.synchronize()
        times.append(before.elapsed_time(after) / 1e3)
    return median(times[1:])


def in_kernels(call: Step, *, many: int = 5) -> float:
    """Time of a call's kernels [s], their launches left out."""
    call()
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(many):
            call()
        torch.cuda.synchronize()
    told = sum(event.self_device_time_total for event in profile.key_averages()) / many / 1e6
    return told or events(call)  # where the driver does not let itself be watched


def counting(d: int, x: int, samples: int, bl: int = 31) -> float:
    """Weight-samples per second [1/s] of an update whose pulses are drawn: counting them, and the devices' response."""
    case = Case(rule="analog_sgd", device="soft_bounds", d=d, x=x, samples=samples, bl=bl)
    tile = next(iter(weight_of(case, "cuda").tiles().values()))
    inputs, errors = (values.to(CUDA) for values in case.data())
    update = basic(UpdateParameters, desired_bl=bl)
    strongest = inputs.abs().amax(-1) * errors.abs().amax(-1)
    grain = tile.device.granularity
    plan = plan_pulses(inputs, errors, bl * grain / strongest, grain, update, tile.draws)

    def call() -> None:  # words belong to the plan, which draws them once
        tile.engine.update(tile.state, plan, tile.bar, update, tile.draws)

    return case.weight_samples / in_kernels(call)


def graphed(step: Step) -> Step:
    """A call that replays ``step``, captured in a CUDA graph.

    Raises:
        RuntimeError: it does what a graph cannot hold.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def waits(step: Step) -> int:
    """How often the host waits for the GPU in a step."""
    step()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in caught)


def analog_step(digital: nn.Module, level: str, bl: int, *, captured: bool = False) -> Step:
    """A training step of c-TTv2 on the GPU, exact reads.

    Raises:
        RuntimeError: it is to be captured and cannot be.
    """
    model = steps.analog_model(digital, "cttv2", level, bl, "perfect", "cuda")
    if not captured:
        return steps.stepper(model, BATCH, "cuda")
    step = steps.stepper(model, BATCH, "cuda", graph=CUDAGraph)
    step()
    step()
    if not step.func.captured:  # type: ignore[attr-defined]
        raise RuntimeError("not captured, see the line that says why")
    return step


def digital_step(digital: nn.Module) -> Step:
    """A training step of the digital network on the GPU."""
    return steps.stepper(copy.deepcopy(digital), BATCH, "cuda")


def instances_step(digital: nn.Module, many: int, level: str, bl: int) -> Step:
    """A step of several instances at once; all have the same devices, which costs what others would."""
    one = steps.analog_model(digital, "cttv2", level, bl, "perfect", "cuda")
    return steps.together([copy.deepcopy(one) for _ in range(many)], BATCH, "cuda")


def fit(model: nn.Module, data: Synthetic, epochs: int, place: torch.device, batch: int = BATCH) -> FitResult:
    """Train a network on made images."""
    settings = FitSettings(
        epochs=epochs, batch_size=batch, optimizer=basic(OptimizerSettings, name="sgd", lr=0.1),
        schedule=basic(RateSchedule), analog_lr=0.1,
        augment=True, label_smoothing=0.0,
    )  # fmt: skip
    loop = Loop(
        title="training", model=model, task=data.target().to(place), settings=settings, head=[], streams=[Stream(1)],
        checkpoint=None, progress=Silent(),
    )  # fmt: skip
    return loop.run()


def cifar_steps() -> int:
    """Training steps of the CIFAR run."""
    images = round(CIFAR.target_classes * CIFAR.train_per_class * (1 - CIFAR.validation))
    return CIFAR_EPOCHS * -(-images // BATCH)


def forget() -> None:
    """Give memory of the GPU back."""
    gc.collect()
    torch.cuda.empty_cache()
