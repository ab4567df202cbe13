"""Benches: the same cells, many times, with results that can be trusted.

In the order of the data: ``planning`` (names → cells, refusals, estimates), ``child`` (a worker
process as seen from here), ``runner`` (memory pass, timing pass, every repetition stored as it
ends), ``results`` (stored records → figures), ``comparing`` and ``thresholds`` (two benches).
What runs inside a worker is :mod:`localprompt.running.worker`.
"""
