"""Quantizing: another model of a model, made by llama.cpp and put into the store.

In the order of the data: ``job`` (names → what will be made of what, and why not), ``make`` (space,
the work itself, the new model's card), ``child`` (the process that does the work, as seen from
here). What runs inside that process is ``worker``.
"""
