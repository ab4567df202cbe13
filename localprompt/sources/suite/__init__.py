"""Suites of evaluations, ours and promptfoo's: read into cases and assertions."""
