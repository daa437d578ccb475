"""Parameters of the periphery of a crossbar."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from crossweep.errors import FieldError
from crossweep.schema import Checked, NotNegative, Positive

NoiseManagement = Literal["none", "abs_max", "constant"]
BoundManagement = Literal["none", "iterative"]
WeightNoise = Literal["none", "additive_constant", "pcm_read"]


@dataclass(frozen=True, kw_only=True)
class IOParameters(Checked):
    """One analog matrix-vector product.

    Args:
        is_perfect: skip the whole periphery: ``y = W x``.
        inp_bound: range of the DAC, in units of the scaled input [1], > 0.
        inp_res: DAC bin width [share of the range 2 inp_bound]; a value above 1 is a number of steps; <= 0 is
            continuous.
        inp_sto_round: stochastic rounding in the DAC.
        inp_noise: noise at the DAC's output, std [inp_bound = 1], >= 0.
        out_bound: range of the ADC [w x input], > 0; 0 or less is unbounded.
        out_res: ADC bin width [share of 2 out_bound], as ``inp_res``.
        out_sto_round: stochastic rounding in the ADC.
        out_noise: noise before the ADC, std [w x input], >= 0.
        w_noise: weight-read noise, std [w], >= 0; how it adds up is ``w_noise_type``.
        w_noise_type: ``additive_constant`` adds ``w_noise |x|_2 xi``; ``pcm_read`` adds
            ``w_noise sqrt(sum |w| x^2) xi``.
        ir_drop: strength of the IR drop along a column [1], >= 0; 0 is off.
        ir_drop_g_ratio: wire conductance over device conductance [1].
        noise_management: scale of the input: ``abs_max`` (largest entry), ``constant`` (``nm_thres`` or 1),
            ``none``.
        nm_thres: cap of ``abs_max``, or the value of ``constant``; 0 is off.
        bound_management: ``iterative`` halves the input of a vector whose output clipped and reads it again.
        max_bm_factor: largest halving factor [1].
        max_bm_res: the halving stops when the input would span fewer DAC bins than this share allows [1].

    Raises:
        ConfigError: a parameter breaks its rule.

    Source: aihwkit ``IOParameters`` and ``rpu_forward_backward_pass``.
    Differs: bound management is per vector, as in its engine (not per batch as in its torch tile).
    """

    is_perfect: bool
    inp_bound: Positive
    inp_res: float
    inp_sto_round: bool
    inp_noise: NotNegative
    out_bound: float
    out_res: float
    out_sto_round: bool
    out_noise: NotNegative
    w_noise: NotNegative
    w_noise_type: WeightNoise
    ir_drop: NotNegative
    ir_drop_g_ratio: Positive
    noise_management: NoiseManagement
    nm_thres: NotNegative
    bound_management: BoundManagement
    max_bm_factor: Positive
    max_bm_res: Positive

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_management != "none" and self.inp_bound != 1:
            raise FieldError("inp_bound", f"must be 1 with noise management on, got {self.inp_bound}")

    def of_one_line(self, reach: float) -> "IOParameters":
        """The same periphery as it reads a single line of devices.

        The output of a product is a sum over all lines, that of a one-hot input a single weight. So the amplifier's gain
        is set to one line: ``out_bound`` becomes ``reach``, with the same number of bins, and ``out_noise`` keeps its
        ratio to the range. What happens at the inputs and in the devices stays as it is. Without a range of the ADC
        nothing can be adapted. Noise and bound management have nothing to do: every input is full scale, and no output
        is above ``reach`` but that of single devices beyond it, which clips.

        Args:
            reach: largest weight of a line [w], > 0.

        Differs: aihwkit's ``transfer_forward`` takes the parameters as they are, so that noise and bins made for sums of
            hundreds of weights meet a single one; its presets for training leave the noise out there.
        """
        return _of_one_line(self, reach)

    @property
    def inp_bin(self) -> float:
        """DAC bin width in input units; 0 is continuous."""
        return _bin_width(self.inp_res, self.inp_bound)

    @property
    def largest_factor(self) -> float:
        """Input divisor beyond which bound management gives up [1]."""
        return min(
            self.max_bm_factor, self.max_bm_res / self.inp_bin if self.inp_bin > 0 else self.max_bm_factor
        )

    @property
    def out_bin(self) -> float:
        """ADC bin width in output units; 0 is continuous."""
        return _bin_width(self.out_res, self.out_bound) if self.out_bound > 0 else 0.0


PERFECT = IOParameters(  # y = W x: nothing of a periphery acts
    is_perfect=True, inp_bound=1.0, inp_res=0.0, inp_sto_round=False, inp_noise=0.0, out_bound=0.0, out_res=0.0,
    out_sto_round=False, out_noise=0.0, w_noise=0.0, w_noise_type="none", ir_drop=0.0, ir_drop_g_ratio=1.0,
    noise_management="none", nm_thres=0.0, bound_management="none", max_bm_factor=1.0, max_bm_res=1.0,
)  # fmt: skip


def _bin_width(res: float, bound: float) -> float:
    if res <= 0:
        return 0.0
    return (1 / res if res > 1 else res) * 2 * bound


@lru_cache(maxsize=256)
def _of_one_line(io: IOParameters, reach: float) -> IOParameters:
    gain = io.out_bound / reach if io.out_bound > 0 else 1.0
    return replace(
        io, inp_bound=1.0, inp_noise=io.inp_noise / io.inp_bound, out_bound=io.out_bound / gain,
        out_noise=io.out_noise / gain, noise_management="none", bound_management="none",
    )  # fmt: skip
