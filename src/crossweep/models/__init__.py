"""Networks: digital models that are pretrained and then converted to crossbars.

base          `AbstractModel` (what a yaml in conf/model builds), `new_head`, `drawing_from`
timm_model    any timm model by name
mlp, lenet5, resnet_cifar, lstm, tiny_gpt    small models of our own
parts         which layers belong to attention, MLP, head, last stage, ...

To add a model: a yaml in conf/model that names a timm model, or one file here and its yaml.
"""
