"""Training without any configuration framework: ``fit_settings`` (frozen descriptions), ``optimizer`` (pulses for tiles,
torch for the rest), ``loop`` (epochs), ``evaluate``, ``checkpoint`` (bit-exact resume), ``cache`` (pretrained weights and
baselines, computed once), ``experiment`` (pretrain, transfer, fine-tune: the experiment).
"""
