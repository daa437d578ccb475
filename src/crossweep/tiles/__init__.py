"""One crossbar: ``analog_tile`` (state and operations), ``io`` (periphery), ``pulse_train`` (stochastic update),
``engine`` (three levels of fidelity), ``mapping`` (a layer over several tiles).
"""
