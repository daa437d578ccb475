"""Device models, one per file: ``base`` is the contract, ``symmetry_point`` the reference subtraction.

A model is a response (``response``: mean steps and noise of a pulse), how its parameters vary from device to
device and from pulse to pulse, and its symmetry point. To add one, write ``devices/<name>.py`` and
``conf/device/<name>.yaml``. Beside the models: ``balance`` (the symmetry point of a response), ``relaxation``
(decay, diffusion, drift).
"""
