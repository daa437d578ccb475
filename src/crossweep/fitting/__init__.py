"""From a measured pulse response to a device.

Reading: ``files`` (texts in columns), ``numbers``, ``columns`` (what each means), ``quantities`` (siemens), ``layouts``
(all layouts as one), ``polarity``, ``trains`` (pulses between readings), ``reading`` (all of it, and what was understood).
Fitting: ``responses`` and ``likelihood`` (one device under one model), ``candidates`` (the models and their
parameters), ``fit`` (estimates and intervals), ``population`` (several devices, spreads, the configuration's keys),
``report`` (table and figure).
"""
