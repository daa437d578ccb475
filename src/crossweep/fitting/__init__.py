"""From a measured pulse response to a device: ``trains`` (the CSV), ``responses`` and ``likelihood`` (one
device under one model), ``candidates`` (the models and their parameters), ``fit`` (estimates and intervals),
``population`` (several devices, spreads, the configuration's keys), ``report`` (table and figure).
"""
