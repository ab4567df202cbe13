"""The tunings that the experiments share, and how they were budgeted.

All of one recipe: the defaults of ``finetune measure`` (AdamW, a learning rate of 2e-5 that falls
in a line, loss on the answers alone) with two epochs and no held-out part. The training examples
are the first 16, 64, 256 and 512 of one file, so a larger tuning has seen all that a smaller one
has. Passages are tuned on for more epochs and at a higher rate, because they are to be remembered
and not to be told apart. Together that is about 17 minutes at 100 tokens per second.
"""

from __future__ import annotations

from localprompt.evidence import data
from localprompt.evidence.tuning import TuningPlan

TRAIN = "sentiment-train.csv"
HELD_OUT = "sentiment.csv"
PLAIN = "sentiment-plain"
SIZES = (16, 64, 256, 512)
_SECONDS = {16: 30.0, 64: 80.0, 256: 290.0, 512: 570.0}

SENTIMENT = {
    size: TuningPlan(
        name=f"sentiment-{size}",
        prompt=data.prompt(PLAIN),
        train=data.dataset(TRAIN),
        examples=size,
        epochs=2,
        seconds=_SECONDS[size],
    )
    for size in SIZES
}
SMALLEST, LARGEST = SENTIMENT[SIZES[0]], SENTIMENT[SIZES[-1]]

PASSAGES = TuningPlan(
    name="passages",
    prompt=data.prompt("continue-passage"),
    train=data.dataset("passages.csv"),
    examples=None,
    epochs=6,
    seconds=170.0,
    learning_rate=1e-4,
)
