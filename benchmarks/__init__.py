"""Benchmarks of localprompt itself; not part of the installed package's code."""
