"""Data sets: a source task to pretrain on and a target task to fine-tune on.

base       `Split`, `Task`, `AbstractData` (what a yaml in conf/data builds) and `batches`
splitting  stratified hold-outs and class selections, augment the random crop and flip
digits, cifar, mnist, fashion_mnist (both by idx), image_folder, synthetic, sequences, text    one data set each

To add a data set: one file here with a subclass of `AbstractData`, one yaml in conf/data naming it by
`_target_`.
"""
