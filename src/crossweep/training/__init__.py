"""Training without any configuration framework: ``settings`` (frozen descriptions), ``optimizer`` (pulses for tiles,
torch for the rest), ``loop`` (epochs), ``evaluate``, ``checkpoint`` (bit-exact resume), ``cache`` (pretrained weights and
baselines, computed once), ``transfer`` (pretrain, transfer, fine-tune: the experiment).
"""
