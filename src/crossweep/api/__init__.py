"""What ``import crossweep`` offers a program or a notebook.

Map: ``conversion`` (a torch model onto crossbars), ``optimizer`` (its steps in a loop of one's own), ``runs`` (one
training, as ``crossweep-train`` does it), ``trained`` (the model that a run left), ``studies`` (the answer of a study; no
torch). ``crossweep`` itself loads each at first use.
"""
