"""Fine-tuning on this machine: the same model, trained on examples of the same prompt.

In the order of the data: ``examples`` (rows and a prompt → tokens), ``pack`` (examples → windows),
``planning`` (names → what will be trained, and why not), ``checkpoint`` (what a cut-off training
goes on from), ``child`` (the process that trains, as seen from here), ``publish`` (weights → models
in the store), ``run`` (all of it). What runs inside that process is ``worker`` and its ``loop``.
"""
