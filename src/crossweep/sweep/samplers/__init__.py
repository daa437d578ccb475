"""Choosing points.

``factory``   samplers by name, one per trial number
``qmc``       Optuna's Sobol sequence, from the first trial on
``grid``      every cell of a grid once, with a ledger of its own
``levelset``  where a response crosses a level, by a small Gaussian process
"""
