"""How well a model knows a text, and how far a quantization is from its parent.

``likelihood`` is the arithmetic over logits; ``reading`` goes through a text with one model or with
two; ``worker`` does that in a process of its own.
"""
