"""Prompts over datasets: a suite is planned, answered, scored and summed up.

    loading ─▶ planning ─▶ runner ─▶ (store) ─▶ summarize, comparing ─▶ views
                             │
               answering, scoring, judge, floor

:mod:`~localprompt.evaluate.runner` is the way in for what happens; it keeps every result in the
history as soon as it is there. :mod:`~localprompt.evaluate.summarize` reads them back.
"""
