"""The fastest weights and settings for a prompt on this machine, inside a bound of quality.

    prompt ─▶ candidates ─▶ search ─▶ (store) ─▶ views
                              │
                   race, runs, weights, judging

``search`` is the way in and tells the order of things; ``race`` decides who goes on and is pure;
``runs`` measures in workers, ``weights`` quantizes, ``judging`` says what was lost.
"""
