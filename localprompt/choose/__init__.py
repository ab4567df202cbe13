"""One decision among many models: quality × speed × memory × cost of the same answers.

    opening ─▶ evaluate (how many cases each passes) ─▶ judging ─▶ views
            └▶ bench    (what one answer takes)      ─┘

Nothing is measured here: ``opening`` plans an evaluation and a bench over the same prompts and
models, ``running`` has both carried out, and ``judging`` reads them together. It is pure.
"""
