"""What is done to devices, on three levels of fidelity, by one contract.

``base`` is the contract, ``program`` a training rule as data, ``schedule`` and ``chain`` what follows from it in a
mini-batch, ``pulse_plan`` from values to chances of pulses. ``reference`` (torch) and ``cpu`` (compiled kernels) implement
the contract; ``choose`` alone says which of them works.
"""
