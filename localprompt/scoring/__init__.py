"""(output, expectation) → score.

What is scored is an :class:`~localprompt.records.score.Answer`; what it is held against is
an :class:`~localprompt.records.score.Expectation`, one assertion of a suite. The meaning of
each assertion type, of weights and of thresholds is promptfoo's, so that a suite written for it
gives the same verdicts here.

One thing differs on purpose: what could not be judged is *unscored*, with the reason, and never a
zero. :mod:`~localprompt.scoring.score` is the way in, :mod:`~localprompt.scoring.aggregate` turns
the scores of one case into its result.
"""
