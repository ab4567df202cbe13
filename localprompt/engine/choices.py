"""Closed answers: how probable each of a few choices is after a prompt.

The prompt and the inner tokens of the choices' tree (:mod:`localprompt.engine.labels`) go through
together; logits are wanted at the prompt's end and after each of those tokens. Nothing is
generated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from localprompt.engine.base import Choice, ChoiceRequest, ChoiceScore, Scored
from localprompt.engine.device import Device, LookedUp, Seat, Slot
from localprompt.engine.labels import TokenIds, label_tree
from localprompt.errors import InputError

_DECIDING_CHARACTERS = 100
"""The end of a prompt that is tokenized again with each choice; much longer than any token."""


class _Whole:
    """The scores of one request, collected where its choices need several passes."""

    __slots__ = ("index", "missing", "scores")

    def __init__(self, index: int, choices: int) -> None:
        self.index = index
        self.scores: list[ChoiceScore | None] = [None] * choices
        self.missing = choices

    def add(self, at: int, score: ChoiceScore) -> None:
        self.scores[at] = score
        self.missing -= 1


class ScoringJob:
    """Some choices of a request, all of them as a rule.

    Implements :class:`localprompt.engine.device.Job`.
    """

    def __init__(
        self, token_ids: tuple[int, ...], choices: tuple[Choice, ...], whole: _Whole, first: int
    ) -> None:
        self.token_ids = token_ids
        self.choices = choices
        self.whole = whole
        self.first = first
        self.tree = label_tree(tuple(choice.token_ids for choice in choices))
        self.branches = self.tree.branches
        self.cells = len(token_ids) + self.tree.evaluated_tokens

    def start(self, device: Device, seat: Seat) -> Scoring:
        return Scoring(self, device, seat)


class Scoring:
    """Implements :class:`localprompt.engine.device.Member`."""

    decoding = False
    keeps = False

    def __init__(self, job: ScoringJob, device: Device, seat: Seat) -> None:
        self.sequences = seat.sequences
        self._job = job
        self._device = device
        self._seat = seat
        self._slots = _slots(job, seat)
        self._taken = 0
        self._looked_up: list[LookedUp] = []

    @property
    def done(self) -> bool:
        return len(self._looked_up) == len(self._job.tree.stems)

    def take(self, room: int, outputs: int) -> Sequence[Slot]:
        start = self._taken
        # The prompt's end and what follows it want logits, nothing before.
        quiet = max(0, len(self._slots) - len(self._job.tree.stems) - start)
        self._taken = min(len(self._slots), start + min(room, quiet + outputs))
        return self._slots[start : self._taken]

    def absorb(self, taken: Sequence[Slot], first: int, now: float) -> Iterator[Scored]:
        stems = self._job.tree.stems
        for at, slot in enumerate(taken, start=first):
            if slot.wants_logits:
                wanted = stems[len(self._looked_up)].next_ids
                self._looked_up.append(self._device.log_probabilities(at, wanted))
        if self.done:
            yield from self._scored(now)

    def close(self) -> None:
        pass

    def _scored(self, now: float) -> Iterator[Scored]:
        job, whole = self._job, self._job.whole
        sums = job.tree.sums([one.values for one in self._looked_up])
        greedy = job.tree.greedy(self._looked_up)
        for at, choice in enumerate(job.choices):
            n_bytes = len(choice.text.encode())
            n_tokens = len(choice.token_ids)
            scored = ChoiceScore(choice.text, sums[at], n_tokens, n_bytes, greedy[at])
            whole.add(job.first + at, scored)
        if not whole.missing:
            scores = tuple(score for score in whole.scores if score is not None)
            yield Scored(whole.index, now, scores, self._seat.reused_tokens, self._seat.seconds)


def _slots(job: ScoringJob, seat: Seat) -> list[Slot]:
    """What is left of the prompt, then the tokens of the tree, shorter stems first."""
    prompt, last = job.token_ids, len(job.token_ids) - 1
    slots = [
        Slot(prompt[at], at, seat.sequences, at == last)
        for at in range(seat.reused_tokens, len(prompt))
    ]
    for stem in job.tree.stems[1:]:
        branches = tuple(seat.sequences[branch] for branch in stem.branches)
        slots.append(Slot(stem.token_ids[-1], last + len(stem.token_ids), branches, True))
    return slots


def scoring_jobs(requests: Iterable[ChoiceRequest], most_branches: int) -> Iterator[ScoringJob]:
    """A job for each request, or several where its choices branch too often for one pass."""
    for index, request in enumerate(requests):
        whole = _Whole(index, len(request.choices))
        first = 0
        while first < len(request.choices):
            rest = request.choices[first:]
            part = rest[: _fitting(rest, most_branches)]
            yield ScoringJob(request.token_ids, part, whole, first)
            first += len(part)


def _fitting(choices: tuple[Choice, ...], most_branches: int) -> int:
    """How many of the choices go together; at least one, which never branches."""
    ids = tuple(choice.token_ids for choice in choices)
    if label_tree(ids).branches <= most_branches:
        return len(ids)
    return max(n for n in range(1, len(ids)) if label_tree(ids[:n]).branches <= most_branches)


def deciding_end(tail: str, token_ids: Sequence[int], tokenize: Callable[[str], list[int]]) -> str:
    """As much of a prompt's tail as can change when a choice is written behind it.

    Tokenizers go word by word, so that what follows a text changes the tokens of its last words
    only. The end is cut off before a word, and only where its tokens are the prompt's own; a
    text without white space stays whole.

    Args:
        tail: the prompt's text after its last control token.
        token_ids: of the prompt.
        tokenize: plain text → ids.
    """
    cut = tail.rfind(" ", 0, max(0, len(tail) - _DECIDING_CHARACTERS))
    if cut <= 0 or tail[cut - 1].isspace() or tail[cut + 1].isspace():
        return tail
    ids = tokenize(tail[cut:])
    return tail[cut:] if ids == list(token_ids[-len(ids) :]) else tail


def choice_tokens(
    tail: str,
    choices: Sequence[str],
    *,
    lead: str,
    tokenize: Callable[[str], list[int]],
    end_id: int,
) -> tuple[int, tuple[Choice, ...]]:
    """Tokenize choices as one piece with the text that they continue.

    A tokenizer may join the last characters of a prompt with the first of what follows. A model
    has seen such text joined, so a choice is tokenized together with the prompt's end; where the
    border moves, the prompt gives up its last tokens, and they become part of every choice.

    A choice that is the beginning of another could only ever be the more probable of the two.
    It is scored with the end of the answer behind it.

    Args:
        tail: the prompt's text after its last control token.
        lead: put before each choice that does not begin with white space.
        tokenize: plain text → ids.
        end_id: the token with which the model ends its turn.

    Returns:
        how many tokens the prompt gives up, and the choices.

    Raises:
        InputError: a choice is empty or there twice.
    """
    before = tokenize(tail) if tail else []
    whole = [
        tokenize(tail + (choice if choice[:1].isspace() else lead + choice)) for choice in choices
    ]
    kept = min((_agreeing(before, ids) for ids in whole), default=len(before))
    answers = [tuple(ids[kept:]) for ids in whole]
    for text, ids in zip(choices, answers, strict=True):
        if not text or not ids:
            raise InputError("a choice is empty", expected="text in every choice")
        if answers.count(ids) > 1:
            raise InputError("a choice is listed twice", where="choices", found=repr(text))
    ended = [(*ids, end_id) if _begins_another(ids, answers) else ids for ids in answers]
    return len(before) - kept, tuple(map(Choice, choices, ended))


def continuation_tokens(
    text: str,
    continuations: Sequence[str],
    *,
    tokenize: Callable[[str], list[int]],
    begin: TokenIds,
    instead: int,
) -> tuple[TokenIds, tuple[Choice, ...]]:
    """Tokenize what may follow a text by the rule of lm-evaluation-harness.

    White space at the text's end goes to the continuation. The whole is tokenized; what of it
    lies behind the number of tokens that the text has alone is the continuation. (Where a token
    would span the border, the model sees the text's own last token instead.)

    Args:
        tokenize: plain text → ids.
        begin: the tokens that every text begins with.
        instead: what stands before a continuation where there is no text.

    Returns:
        the text's tokens, and each continuation with its own.

    Raises:
        InputError: a continuation has no tokens of its own.
    """
    kept = text.rstrip()
    moved = text[len(kept) :]
    own = tokenize(kept) if kept else []
    end = deciding_end(kept, own, tokenize) if kept else ""
    known = len(tokenize(end)) if len(end) < len(kept) else len(own)
    before = (*begin, *own) or (instead,)
    found = []
    for continuation in continuations:
        ids = tuple(tokenize(end + moved + continuation)[known:])
        if not ids:
            raise InputError(
                "nothing follows the text that could be measured",
                expected="a choice with text of its own",
                found=repr(continuation),
            )
        found.append(Choice(continuation, ids))
    return before, tuple(found)


def _begins_another(ids: tuple[int, ...], answers: Iterable[tuple[int, ...]]) -> bool:
    return any(len(other) > len(ids) and other[: len(ids)] == ids for other in answers)


def _agreeing(a: Sequence[int], b: Sequence[int]) -> int:
    """How many items both begin with."""
    pairs = zip(a, b, strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))
