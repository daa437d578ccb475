"""The trained network after its devices have lain unpulsed for a time."""

import copy
from collections.abc import Sequence

from torch import nn

from crossweep.configured import metric_after
from crossweep.data.base import Task
from crossweep.nn.convert import analog_weights
from crossweep.training.evaluate import evaluate


def errors_after(model: nn.Module, task: Task, times: Sequence[float]) -> dict[str, float]:
    """Test error [%] after each time [mini-batch], by metric; each from the state at the end of training."""
    found = {}
    for time in times:
        later = copy.deepcopy(model)
        for weight in analog_weights(later).values():
            for block in weight.parts():
                for tile in block.tiles().values():
                    tile.rest(time)
        found[metric_after(time)] = 100 * (1 - evaluate(later, task.test).accuracy)
    return found
