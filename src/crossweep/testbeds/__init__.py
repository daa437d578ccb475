"""Small tasks with known answers, for one weight at a time: seconds of one core, no data, no network.

``correlation_detection`` (which gradients reach the weight), ``constant_gradient`` (what an offset of the
symmetry point does), ``weight_programming`` (the error a converged weight keeps), ``least_squares``
(convergence to a known solution). Each is a frozen description with ``run(rule, factory, stream) ->
BedResult``; independent instances train at once in a leading dimension.
"""
