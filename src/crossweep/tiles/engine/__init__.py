"""Three levels of fidelity for one pulsed update, one definition of a device.

``pulse`` every pulse in order (the reference); ``count`` exact coincidence counts by matrix products, applied
in closed form; ``mean`` expected counts and their variance, no pulse trains. ``base`` is the contract.
"""
