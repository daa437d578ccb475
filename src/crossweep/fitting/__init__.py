"""From a measured pulse response to a device.

Reading: ``files`` (texts in columns), ``numbers``, ``columns`` (what each means), ``quantities`` (siemens), ``layouts``
(all layouts as one), ``polarity``, ``trains`` (pulses between readings), ``reading`` (all of it, and what was understood).
Fitting: ``readings`` (normalised by ``scale``), ``responses`` and ``likelihood`` (one device under one model),
``candidates`` (the models), ``optimise``, ``restricted`` (noises, intervals), ``fit``, ``population`` (several devices),
``selection`` (which model is offered), ``keys`` (of the configuration), ``report`` (file, table, figure).
Retention: ``retention`` (drift, decay, diffusion).
Tables: ``published`` (distributions of the change), ``tabulated`` (from them or from trains), ``table_report``.
"""
