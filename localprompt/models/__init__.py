"""Which models there are, where their weights come from and what they are made of.

Cards (``cards``) describe models; ``pull`` brings weights into the store; ``store`` adds, lists,
verifies and removes; ``resolve`` turns what a user types into a file; ``gguf``, ``inspect`` and
``predict`` say what is in that file and what running it will take, without loading it. Only
``pull`` ever uses the network.
"""
