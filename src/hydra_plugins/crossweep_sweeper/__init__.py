"""Hydra's view of the sweeper: ``hydra/sweeper=crossweep``, its sub-groups sampler, pruner, storage."""
