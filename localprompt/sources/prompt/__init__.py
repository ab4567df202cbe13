"""Prompt files and their parameters: found, read, checked, made and mended."""
