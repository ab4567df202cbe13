"""The ten reasons for prompting, each an experiment with a rule that was fixed before it ran.

``experiments`` has one module per subject; ``lab`` is what they work with; ``running`` carries them
out, keeps what they found and reuses it. ``contrast`` puts prompting beside fine-tuning in one
table.
"""
