"""Device models, one per file: ``base`` is the contract, ``symmetry_point`` the reference subtraction.

A model is two response functions (mean step up, mean step down), how its parameters vary from device to
device and from pulse to pulse, and its symmetry point. To add one, write ``devices/<name>.py`` and
``conf/device/<name>.yaml``. Beside the models: ``balance`` (symmetry point by bisection), ``relaxation``
(decay, diffusion, drift).
"""
