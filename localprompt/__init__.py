"""localprompt: run, measure and compare prompts on quantized models, on the CPU, offline."""

__version__ = "0.1.0"
