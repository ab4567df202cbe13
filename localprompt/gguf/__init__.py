"""GGUF files: the header, tensor types, models in several files, and what a file is instead."""
