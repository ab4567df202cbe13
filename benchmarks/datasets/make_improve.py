"""Writes the three suites that ``improve`` is measured on: tickets, meetings and notes.

Sentences, names and values were written by hand; this script puts them together with a fixed seed,
so the files come out the same every time. No two rows are alike, and rows are shuffled, so that any
split of them is one of chance.

    python benchmarks/datasets/make_improve.py
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEED = 20_261_126
COUNT = 320
FOLDER = Path(__file__).parent

PROBLEMS = {
    "billing": (
        "my card was charged twice for {thing}",
        "the invoice for {thing} shows the wrong amount",
        "I was promised a discount on {thing} and paid the full price",
        "I have waited {days} days for my money back for {thing}",
        "there is a fee on my statement that nobody explained",
        "why did the price of {thing} go up without a word?",
        "I need a receipt for {thing} with our company's tax number",
        "the coupon for {thing} did not come off the total",
        "you took {days} euros more than the order said",
        "my payment for {thing} went through but the bill still says open",
    ),
    "shipping": (
        "{thing} should have arrived {days} days ago",
        "the parcel with {thing} went to my old street",
        "the driver left {thing} in the rain",
        "tracking has said 'on its way' for {days} days",
        "only half of the boxes with {thing} came",
        "can {thing} be sent to my office instead?",
        "the box with {thing} was crushed when it got here",
        "how long does {thing} take to reach the islands?",
        "the courier says that nobody was home, but I waited all day for {thing}",
        "{thing} came to my neighbour, who has moved away",
    ),
    "technical": (
        "{thing} does not switch on any more",
        "the screen of {thing} stays black after the update",
        "{thing} loses its connection every {days} minutes",
        "the app crashes as soon as I pair it with {thing}",
        "{thing} makes a grinding noise and then stops",
        "error {days} comes up whenever I start {thing}",
        "the battery of {thing} is empty after an hour",
        "{thing} gets so hot that I cannot touch it",
        "the buttons of {thing} do nothing since yesterday",
        "I reset {thing} {days} times and it still freezes",
    ),
    "account": (
        "I cannot log in since I changed my phone",
        "please change the e-mail address of my profile",
        "the link to set a new password never comes",
        "somebody else has signed in under my name {days} times",
        "how do I delete my profile and everything in it?",
        "my user name is spelled wrong",
        "the code for signing in is always refused",
        "please merge my two profiles into one",
        "I am locked out after {days} wrong passwords",
        "I want to stop the newsletter, but the settings page does not open",
    ),
}
THINGS = (
    "the kettle", "the speaker", "my printer", "the coffee machine", "the lamp", "the headphones",
    "the vacuum cleaner", "the camera", "the router", "the drill", "the watch", "the heater",
)  # fmt: skip
OPENINGS = (
    "Hello, ", "Hi there, ", "Good morning. Since last week, ", "To whom it may concern: ", "",
    "Third time that I write: ", "Sorry to bother you, but ", "Quick question: ",
)  # fmt: skip
CLOSINGS = (
    " Please help.", " I would be glad of an answer today.", " Thanks, Robin", " This is not okay.",
    " What do I do now?", "", " Kind regards, M. Okafor", " I like your shop otherwise.",
)  # fmt: skip

PEOPLE = (
    "Priya", "Oskar", "Lucia", "Hassan", "Wen", "Greta", "Tomas", "Abena", "Ivan", "Noor", "Clara",
    "Mateo", "Sofie", "Kenji",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
ROOMS = ("Oak", "Birch", "Maple", "Cedar", "Willow", "Aspen")
TOPICS = ("budget", "hiring", "roadmap", "audit", "training", "office move", "safety", "launch")
INVITATIONS = (
    "{person} wants to talk about the {topic} on {day} at {time} in {room}.",
    "Can we do the {topic} meeting {day}, {time}? I booked {room}. {person}",
    "Moved: {topic} is now on {day} at {time}, room {room}, says {person}.",
    "{room} is free {day} at {time}. Let us take it for the {topic}. Best, {person}",
    "Hi all, {topic} round, {day} {time}, {room}. {person} will lead it.",
    "Reminder from {person}: {day}, {time}, {topic}, the {room} room.",
    "I cannot make Sunday. {day} at {time} works for the {topic}; {room} as usual. {person}",
    "{person} asked me to tell you: the {topic} meeting is in {room} on {day}, {time}.",
)

PLACES = ("Harrow Mill", "Port Ellen Quay", "Saint Oda", "Kestrel Ridge", "Lower Tarn", "Vellmar")
KINDS = ("museum", "library", "swimming pool", "theatre", "garden", "observatory", "bakery")
COLOURS = ("green", "white", "yellow", "blue", "grey", "red")
FACTS = {
    "In which year did it open?": ("It opened in {year}.", "year"),
    "What colour is its door?": ("Its {colour} door is seen from far away.", "colour"),
    "Who runs it?": ("It is run by {boss}.", "boss"),
    "On which day is it closed?": ("It is closed on {day}s.", "day"),
    "How many people work there?": ("{staff} people work there.", "staff"),
    "What does a ticket cost?": ("A ticket costs {price} crowns.", "price"),
}
BOSSES = (
    "Edda Lorne", "Piet Maas", "Ruth Salgado", "Ngozi Eze", "Arne Falk", "Dora Stein", "Ilya Orlov",
)  # fmt: skip


def tickets(chance: random.Random) -> Iterator[dict[str, str]]:
    """A customer's message, and the desk that it is for: four labels, each equally often."""
    seen: set[str] = set()
    labels = sorted(PROBLEMS)
    while len(seen) < COUNT:
        label = labels[len(seen) % len(labels)]
        problem = chance.choice(PROBLEMS[label])
        text = problem.format(thing=chance.choice(THINGS), days=chance.randint(2, 30))
        opening = chance.choice(OPENINGS)
        text = text if opening.endswith((", ", ": ", "but ")) else text[0].upper() + text[1:]
        end = "" if text.endswith("?") else "."
        message = f"{opening}{text}{end}{chance.choice(CLOSINGS)}"
        if message not in seen:
            seen.add(message)
            yield {"message": message, "expected": label}


def meetings(chance: random.Random) -> Iterator[dict[str, Any]]:
    """A message about a meeting, and its five fields, each a text that stands in the message."""
    seen: set[str] = set()
    while len(seen) < COUNT:
        fields = {
            "topic": chance.choice(TOPICS),
            "day": chance.choice(DAYS),
            "time": f"{chance.randint(8, 17)}:{chance.choice(('00', '15', '30', '45'))}",
            "room": chance.choice(ROOMS),
            "person": chance.choice(PEOPLE),
        }
        message = chance.choice(INVITATIONS).format(**fields)
        if message not in seen:
            seen.add(message)
            yield {"message": message, "expected": fields}


def notes(chance: random.Random) -> Iterator[dict[str, str]]:
    """A passage about an invented place, a question, and a word that the answer has to contain."""
    seen: set[tuple[str, str]] = set()
    while len(seen) < COUNT:
        values = {
            "year": str(chance.randint(1850, 2019)),
            "colour": chance.choice(COLOURS),
            "boss": chance.choice(BOSSES),
            "day": chance.choice(DAYS),
            "staff": str(chance.randint(3, 60)),
            "price": str(chance.randint(4, 40)),
        }
        told = chance.sample(sorted(FACTS), 4)
        sentences = " ".join(FACTS[question][0].format(**values) for question in told)
        kind, place = chance.choice(KINDS), chance.choice(PLACES)
        passage = f"The {kind} of {place} stands near the bridge. {sentences}"
        question = chance.choice(told)
        if (passage, question) not in seen:
            seen.add((passage, question))
            answer = values[FACTS[question][1]]
            yield {"passage": passage, "question": question, "__expected": f"icontains: {answer}"}


def main() -> None:
    for name, make in (("tickets", tickets), ("notes", notes)):
        chance = random.Random(f"{SEED} {name}")
        rows = list(make(chance))
        chance.shuffle(rows)
        with (FOLDER / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    chance = random.Random(f"{SEED} meetings")
    found = list(meetings(chance))
    chance.shuffle(found)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    (FOLDER / "meetings.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
