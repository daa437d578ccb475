"""What the engine costs: ``python -m crossweep.bench`` writes one table to multirun/bench/.

``timing`` (interleaved medians), ``updates`` (pulsed updates alone), ``steps`` (whole training steps),
``peer`` (the same update in aihwkit, if it is installed), ``table`` (what is written).
"""
