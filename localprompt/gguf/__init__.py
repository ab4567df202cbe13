"""GGUF files: the header, tensor types, and telling one file from another."""
