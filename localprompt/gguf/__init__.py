"""GGUF files: the header, tensor types, models in several files, and what a file is if not GGUF."""
