"""localprompt beside the tools it is measured against, in turns, on one machine, in one run.

Absolute figures of a shared or warm machine mean little; ratios of two programs that take turns
on it mean much more. So every comparison here runs A B A B … with the same file, threads and
settings, and what is reported is the ratio of each pair: median, range and n.

``python -m benchmarks.peers`` runs the sections and writes one dated result. In the order of the
data: ``builds`` (where peers come from), one module per section, ``results`` (their form),
``markdown`` (the same for people). ``benchmarks/README.md`` says how to run and read it.
"""
