"""Tasks of lm-evaluation-harness, read into suites: a YAML file and local data.

task.yaml ─▶ file (keys) ─▶ data (rows) ─▶ context (question, choices, examples) ─▶ suite (cases)
"""
