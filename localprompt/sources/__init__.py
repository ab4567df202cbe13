"""Files that people write (prompts, parameters, datasets, suites) → records."""
