"""Makes crossweep's configuration groups available to other Hydra programs."""
