"""The command line: each module parses, makes one call and shows one view."""
