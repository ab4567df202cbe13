"""Machine-readable forms: csv, json, jsonl, Markdown."""
