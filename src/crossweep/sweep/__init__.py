"""Studies: workers around shared storage, behind Hydra.

``settings`` and ``axes``, ``space``   what a study is
``controller`` -> ``pool`` or a Hydra launcher -> ``worker``   who runs it
``ledger`` with ``lease``, ``storage``, ``study``   who runs what, and what became of it
``samplers``   which point comes next
``trial``   what a running job may tell: ``current_trial().report(...)``, ``should_prune()``
"""
