"""The best prompt for a model, found and proved on cases that the search has not seen.

    parts ─▶ wordings ─▶ race ─▶ examples ─▶ race ─▶ selection ─▶ final ─▶ writing
    (split)   (rewrites)         (which, how many)   (the best few)  (once)   (.prompty)

:mod:`~localprompt.improve.search` is the way in. Answers are made by
:mod:`localprompt.evaluate`, one by one through its cache, in a history of the search's own, so
that ``runs`` and ``last`` keep meaning what the user did.
"""
