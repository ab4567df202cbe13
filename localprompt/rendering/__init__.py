"""Templates and values → the text that a model receives, with the origin of every character.

Pure: nothing here reads a file, opens a model or prints. :mod:`.prompt` makes messages of a prompt
template, :mod:`.chat` makes one text of messages; both run in the sandbox of :mod:`.environment`.
"""
