"""Plain-numpy training algorithms, one sample at a time: what a recorded trace is checked against.

Every rule keeps its state in `state` (named as in the trace files). Random flips are the recorded ones.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from numpy_devices import Array, Cells, Trains, apply_counts

Flips = NDArray[np.bool_]
Fields = dict[str, Any]
CROSSBARS = ("A", "A1", "A2", "C")


class Loop:
    """State shared by all rules: arrays, digital buffers, sample counter."""

    def __init__(
        self, cells: list[Cells], weight: Array, settings: dict[str, Any], update: dict[str, Any]
    ) -> None:
        self.cells, self.set, self.update, self.trains = cells, settings, update, Trains()
        self.d_size, self.x_size = weight.shape
        self.t = 0
        self.state: dict[str, Array] = {"C": weight.copy()}
        self.pulses: dict[str, NDArray[np.int64]] = {}

    def batch(self, x: Array, d: Array, lr: float, flips: dict[str, Flips]) -> dict[str, NDArray[np.int64]]:
        """One update call with `x [b, x_size]`, `d [b, d_size]`; signed counts `[b, d_size, x_size]`."""
        shape = (len(x), self.d_size, self.x_size)
        counts = {name: np.zeros(shape, np.int64) for name in self.state if name in CROSSBARS}
        for i, (row_x, row_d) in enumerate(zip(x, d, strict=True)):
            self.pulses = {name: c[i] for name, c in counts.items()}
            if lr != 0:  # a rate of zero skips the whole update, counters included
                self.sample(row_x, row_d, lr, len(x), flips)
        return counts

    def sample(self, x: Array, d: Array, lr: float, batch: int, flips: dict[str, Flips]) -> None:
        raise NotImplementedError

    def pulse(self, name: str, index: int, x: Array, d: Array, lr: float, update: dict[str, Any]) -> None:
        """Pulsed update of array `name` with target `-lr d x`."""
        cells = self.cells[index]
        counts = self.trains.counts(x, d, lr, cells.granularity, update)
        self.pulses[name] += counts
        self.state[name] = apply_counts(cells, self.state[name], counts)

    def visible(self) -> Array:
        return self.state["C"]

    def one_hot(self, k: int) -> Array:
        size = self.x_size if self.set["transfer_columns"] else self.d_size
        return np.eye(size)[k]

    def read(self, name: str, k: int) -> Array:
        """Slice `k` of an array through the converters of `transfer_forward` (no noise, no management)."""
        forward = self.set.get("transfer_forward", {"is_perfect": True})
        row = 1.0
        if not forward.get("is_perfect", False):
            width = 2 * forward["inp_bound"] * forward["inp_res"]
            row = min(np.rint(1 / width) * width, forward["inp_bound"]) if width > 0 else 1.0
        weight = self.state[name]
        value = row * (weight[:, k] if self.set["transfer_columns"] else weight[k, :])
        if not forward.get("is_perfect", False):
            width = 2 * forward["out_bound"] * forward["out_res"]
            self.trains.edge(value / width - 0.5, exact=False)
            value = np.clip(np.rint(value / width) * width, -forward["out_bound"], forward["out_bound"])
        return np.asarray(value)

    def write_slice(self, name: str, index: int, k: int, value: Array, lr: float) -> None:
        """`name[:, k] += lr value` (or row `k`) by pulses."""
        up = self.set["transfer_update"]
        ends = (self.one_hot(k), -value) if self.set["transfer_columns"] else (-value, self.one_hot(k))
        self.pulse(name, index, *ends, lr, up)

    def slice_of(self, k: int) -> Any:
        return (slice(None), k) if self.set["transfer_columns"] else (k, slice(None))


class AnalogSGD(Loop):
    def sample(self, x: Array, d: Array, lr: float, batch: int, flips: dict[str, Flips]) -> None:
        self.pulse("C", 0, x, d, lr, self.update)


class Transfer(Loop):
    """TTv1 with any number of arrays: A (also `A1`, ... in between), C last."""

    def __init__(
        self, cells: list[Cells], weight: Array, settings: dict[str, Any], update: dict[str, Any]
    ) -> None:
        super().__init__(cells, weight, settings, update)
        n = len(cells)
        self.gamma = settings["gamma_vec"] or [settings["gamma"] ** (n - 1 - i) for i in range(n)]
        self.names = ["A", *(f"A{i}" for i in range(1, n - 1)), "C"]
        self.state = {name: np.zeros_like(weight) for name in self.names}
        self.state["C"] = np.clip(weight / self.gamma[-1], cells[-1]["w_min"], cells[-1]["w_max"])
        self.in_size = self.x_size if settings["transfer_columns"] else self.d_size
        self.slices = [0] * (n - 1)
        # The pulse trains of A are scaled by the mean granularity of all arrays, not by that of A.
        self.train_granularity = float(np.mean([c.granularity for c in cells]))

    def visible(self) -> Array:
        return np.asarray(sum(g * self.state[name] for g, name in zip(self.gamma, self.names, strict=True)))

    def every(self, j: int, batch: int) -> int:
        every = self.set["transfer_every"]
        out = self.d_size if self.set["transfer_columns"] else self.x_size
        if self.set.get("transfer_every_vec"):
            every = self.set["transfer_every_vec"][j]
        else:
            every *= (out / self.set.get("n_reads_per_transfer", 1)) ** j
        return ceil(every * batch) if self.set["units_in_mbatch"] else floor(every + 0.5)

    def fast_lr(self, lr: float, batch: int, x: Array, d: Array) -> float:
        if self.set["fast_lr"] <= 0:
            return lr
        return float(self.set["fast_lr"] * (lr if self.set["scale_fast_lr"] else 1))

    def transfer_lr(self, lr: float) -> float:
        return float(self.set["transfer_lr"] * (lr if self.set["scale_transfer_lr"] else 1))

    def pulse_fast(self, x: Array, d: Array, lr: float) -> None:
        counts = self.trains.counts(x, d, lr, self.train_granularity, self.update)
        counts = (counts * self.chop_signs()).astype(np.int64)
        self.pulses["A"] += counts
        self.state["A"] = apply_counts(self.cells[0], self.state["A"], counts)

    def chop_signs(self) -> Array:
        return np.ones((self.d_size, self.x_size))

    def sample(self, x: Array, d: Array, lr: float, batch: int, flips: dict[str, Flips]) -> None:
        self.pulse_fast(x, d, self.fast_lr(lr, batch, x, d))
        self.t += 1
        for j in range(len(self.cells) - 1):
            every = self.every(j, batch)
            if every > 0 and self.t % every == 0:
                for _ in range(self.set.get("n_reads_per_transfer", 1)):
                    self.transfer(j, self.slices[j], lr)
                    self.slices[j] = (self.slices[j] + 1) % self.in_size

    def transfer(self, j: int, k: int, lr: float) -> None:
        value = self.read(self.names[j], k)
        if self.set["with_reset_prob"] > 0:  # recorded with probability 1 only
            target = self.cells[j]["reset_bias"]
            target = np.clip(target, self.cells[j]["w_min"], self.cells[j]["w_max"])
            self.state[self.names[j]][self.slice_of(k)] = target[self.slice_of(k)]
        self.write_slice(self.names[j + 1], j + 1, k, value, self.transfer_lr(lr))


class Buffered(Transfer):
    """TTv2: the read goes to the digital buffer H first."""

    def __init__(
        self, cells: list[Cells], weight: Array, settings: dict[str, Any], update: dict[str, Any]
    ) -> None:
        super().__init__(cells, weight, settings, update)
        self.state["H"] = np.zeros_like(weight)
        self.scale_gamma = self.gamma[0] / self.gamma[-1] if min(self.gamma) > 0 else 1.0

    def transfer(self, j: int, k: int, lr: float) -> None:
        at, slow = self.slice_of(k), self.cells[-1]
        threshold = self.set.get("thres_scale", 1.0) * slow.granularity
        h = self.state["H"][at] + abs(self.transfer_lr(lr) * self.scale_gamma) * self.read("A", k)
        self.state["H"][at], n = self.release(h, threshold)
        if n.any():
            self.write_slice("C", 1, k, n, self.set["step"] * slow.granularity)

    def release(self, h: Array, threshold: float) -> tuple[Array, Array]:
        """Buffer after crossing `threshold` and the pulses asked for."""
        self.trains.edge(h / threshold)
        most, momentum = self.set["transfer_update"]["desired_bl"], self.set["momentum"]
        n = np.clip(np.trunc(h / threshold), -most, most)
        kept = momentum * h if self.set["forget_buffer"] else h - (1 - momentum) * n * threshold
        return np.where(n != 0, kept, h), n


class Chopped(Buffered):
    """c-TTv2. Choppers True = inverted."""

    def __init__(
        self, cells: list[Cells], weight: Array, settings: dict[str, Any], update: dict[str, Any]
    ) -> None:
        super().__init__(cells, weight, settings, update)
        self.out_size = self.d_size if settings["transfer_columns"] else self.x_size
        self.in_chopper = np.zeros(self.in_size, bool)
        self.out_chopper = np.zeros(self.out_size, bool)
        self.passes, self.m_x, self.m_d, self.lr_a = 0, 0.0, 0.0, 0.0
        if min(self.gamma) <= 0:
            self.gamma = [0.0, 1.0]

    def visible(self) -> Array:
        return np.asarray(
            self.gamma[0] * self.chop_signs() * self.state["A"] + self.gamma[1] * self.state["C"]
        )

    def chop_signs(self) -> Array:
        c_in, c_out = 1.0 - 2 * self.in_chopper, 1.0 - 2 * self.out_chopper
        return np.outer(c_out, c_in) if self.set["transfer_columns"] else np.outer(c_in, c_out)

    def every(self, j: int, batch: int) -> int:
        every = self.set["transfer_every"]
        if every < 0:
            fast = self.cells[0]
            every = max(1, floor(fast.scalars["n_states"] / self.in_size * -every + 0.5))
        return ceil(every * batch) if self.set["units_in_mbatch"] else floor(every + 0.5)

    def fast_lr(self, lr: float, batch: int, x: Array, d: Array) -> float:
        if not self.set["auto_scale"]:
            return super().fast_lr(lr, batch, x, d)
        tau = (1 - self.set["auto_momentum"]) / batch
        self.m_x, self.m_d = (self._mean(m, v, tau) for m, v in ((self.m_x, x), (self.m_d, d)))
        if self.set["fast_lr"] <= 0:
            return lr
        top = (self.m_x if self.m_x > 0 else 1) * (self.m_d if self.m_d > 0 else 1)
        scaled = self.set["fast_lr"] * self.update["desired_bl"] * self.cells[0].granularity / top
        return float(scaled * (lr if self.set["scale_fast_lr"] else 1))

    @staticmethod
    def _mean(m: float, vector: Array, tau: float) -> float:
        new = float(np.abs(vector).max())
        if m <= 0:
            return new
        return (1 - tau) * m + tau * new if new > 0 else m

    def sample(self, x: Array, d: Array, lr: float, batch: int, flips: dict[str, Flips]) -> None:
        self.lr_a = self.fast_lr(lr, batch, x, d)
        self.pulse_fast(x, d, self.lr_a)
        self.t += 1
        if self.t % self.every(0, batch) == 0:
            k = self.slices[0]
            self.transfer(0, k, lr)
            self.flip(k, flips)
            self.slices[0] = (k + 1) % self.in_size

    def gain(self, lr: float) -> float:
        """λ: how many thresholds one unit of a read is worth."""
        fast, slow = self.cells
        grain = (
            self.set["buffer_granularity"] if self.set["buffer_granularity"] > 0 else 1
        ) * fast.granularity
        if self.set["auto_granularity"] > 0:
            grain *= self.set["auto_granularity"] / (self.in_size * abs(self.set["transfer_every"]))
        rate = abs(self.transfer_lr(lr) * self.scale_gamma)
        if self.set["correct_gradient_magnitudes"]:
            return rate / self.lr_a / (grain * slow.granularity / fast.granularity)
        return rate / grain

    def read_signs(self, k: int) -> Array:
        return np.where(self.in_chopper[k] != self.out_chopper, -1.0, 1.0)

    def transfer(self, j: int, k: int, lr: float) -> None:
        at = self.slice_of(k)
        old = 0 if self.set["no_buffer"] else self.state["H"][at]
        h = old + self.read_signs(k) * self.read("A", k) * self.gain(lr)
        self.state["H"][at], n = self.release(h, 1.0)
        if n.any():
            self.write_slice("C", 1, k, n, self.set["step"] * self.cells[1].granularity)

    def period(self) -> int:
        return max(ceil(1 / self.set["in_chop_prob"]), 2)

    def flip(self, k: int, flips: dict[str, Flips]) -> None:
        if self.set["in_chop_prob"] > 0:
            if self.set["in_chop_random"]:
                self.in_chopper[k] ^= bool(flips["in_chopper"][k])
            elif self.passes % self.period() + 1 == self.period():
                self.in_chopper[k] ^= True
        if k == self.in_size - 1:
            self.out_chopper ^= flips["out_chopper"]
            self.passes += 1


class Dynamic(Chopped):
    """AGAD: reads are taken relative to the running mean at the end of the last chopper phase."""

    def __init__(
        self, cells: list[Cells], weight: Array, settings: dict[str, Any], update: dict[str, Any]
    ) -> None:
        super().__init__(cells, weight, settings, update)
        self.state["running_mean"] = np.zeros_like(weight)
        self.state["past_mean"] = np.zeros_like(weight)
        self.switched = np.zeros(self.in_size, bool)

    def transfer(self, j: int, k: int, lr: float) -> None:
        at, value, mean = self.slice_of(k), self.read("A", k), self.state["running_mean"]
        if self.switched[k]:
            self.state["past_mean"][at], self.switched[k] = mean[at], False
        gain = self.gain(lr)
        if self.set["experimental_correct_accumulation"]:
            gain /= min(self.passes % self.period() + 1, 1 / self.cells[0].granularity)
        h = self.state["H"][at] + self.read_signs(k) * (value - self.state["past_mean"][at]) * gain
        kept, n = self.release(h, 1.0)
        cap = self.set["transfer_update"]["desired_bl"] * self.set["buffer_cap"]
        if cap > 0 and not self.set["forget_buffer"]:
            kept = np.where(n != 0, np.clip(kept, -cap, cap), kept)
        self.state["H"][at] = kept
        beta = min(self.set["tail_weightening"] / self.period(), 1)
        mean[at] = (1 - beta) * mean[at] + beta * value
        if n.any() and self.passes > self.period():
            self.write_slice("C", 1, k, n, self.set["step"] * self.cells[1].granularity)

    def flip(self, k: int, flips: dict[str, Flips]) -> None:
        regular = self.passes % self.period() + 1 == self.period()
        if regular or (self.set["in_chop_random"] and flips["in_chopper"][k]):
            self.in_chopper[k] ^= True
            self.switched[k] = True
        if k == self.in_size - 1:
            self.passes += 1


class MixedPrecision(Loop):
    """Digital outer product into chi; whole granules are written one sample after the batch boundary."""

    def __init__(
        self, cells: list[Cells], weight: Array, settings: dict[str, Any], update: dict[str, Any]
    ) -> None:
        super().__init__(cells, weight, settings, update)
        self.state["chi"] = np.zeros_like(weight)
        self.update = update | {"update_management": True, "update_bl_management": True}
        self.row = 0

    def quantise(self, v: Array, bins: int) -> Array:
        if bins <= 0 or not v.any():
            return v
        width = np.abs(v).max() / (bins // 2)
        self.trains.edge(v / width - 0.5, exact=False)
        return np.asarray(np.clip(np.rint(v / width), -(bins // 2), bins // 2) * width)

    def sample(self, x: Array, d: Array, lr: float, batch: int, flips: dict[str, Flips]) -> None:
        q_x, q_d = self.quantise(x, self.set["n_x_bins"]), self.quantise(d, self.set["n_d_bins"])
        self.state["chi"] += lr * np.outer(q_d, q_x)
        every = self.set["transfer_every"] * batch
        if self.t > 0 and every > 0 and self.t % every == 0:
            self.transfer()
        self.t += 1

    def transfer(self) -> None:
        grain = self.set["granularity"] if self.set["granularity"] > 0 else self.cells[0].granularity
        rows = self.set["n_rows_per_transfer"]
        for _ in range(self.d_size if rows < 0 else rows):
            chi = self.state["chi"][self.row]
            self.trains.edge(chi / grain)
            n = np.trunc(chi / grain)
            self.state["chi"][self.row] -= n * grain
            self.pulse("C", 0, n, np.eye(self.d_size)[self.row], grain * self.set["transfer_lr"], self.update)
            self.row = (self.row + 1) % self.d_size


RULES: dict[str, type[Loop]] = {
    "analog_sgd": AnalogSGD,
    "ttv1": Transfer,
    "ttv2": Buffered,
    "cttv2": Chopped,
    "agad": Dynamic,
    "mixed_precision": MixedPrecision,
}
