"""Writes orders.jsonl: messages of customers, and what they ordered.

Each message puts a name, an article, a number and a town into one of twelve sentences that were
written by hand. The seed is fixed, so the file comes out the same every time.

    python benchmarks/datasets/make_orders.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

NAMES = (
    "Ines Roth", "Tom Adler", "Yusuf Kaya", "Mei Tanaka", "Lars Holm", "Pia Conti", "Sam Okoro",
    "Nina Weiss", "Paul Dubois", "Olga Petrova", "Ben Carter", "Aisha Khan", "Jon Lund",
    "Marta Silva", "Leo Brandt",
)  # fmt: skip
ARTICLES = (
    "notebooks", "candles", "mugs", "blankets", "lamps", "pillows", "vases", "scarves", "baskets",
    "towels", "clocks", "bowls",
)  # fmt: skip
TOWNS = (
    "Bergen", "Lyon", "Graz", "Porto", "Leeds", "Gdansk", "Turin", "Malmo", "Ghent", "Cork",
    "Basel", "Brno",
)  # fmt: skip
SENTENCES = (
    "Hello, I would like to order {n} {article}. Please send them to {town}. Thanks, {name}",
    "{name} here. {n} {article}, please, to my shop in {town}.",
    "Could you ship {n} {article} to {town} this week? Regards, {name}",
    "We need {n} more {article} for the branch in {town}. Best wishes, {name}",
    "My name is {name} and I live in {town}. I'd take {n} of the {article} from your window.",
    "To {town}, as always: {n} {article}. Bill it to {name}.",
    "Dear team, the {article} were lovely. Another {n} for {town}, if you have them. {name}",
    "Order: {article}, quantity {n}, delivery to {town}, customer {name}.",
    "Please put {n} {article} aside. I will collect them in {town} on Friday. {name}",
    "Is it too late for {n} {article}? They would have to reach {town} by May. Yours, {name}",
    "{name} from {town} rang: she wants {n} {article}.",
    "Good morning! {n} {article} for a wedding in {town}. Send the bill to {name}.",
)
COUNT = 120
SEED = 20_261_122


def main() -> None:
    chance = random.Random(SEED)
    with (Path(__file__).parent / "orders.jsonl").open("w", encoding="utf-8") as file:
        for number in range(COUNT):
            order = {
                "name": chance.choice(NAMES),
                "article": chance.choice(ARTICLES),
                "n": chance.randint(2, 60),
                "town": chance.choice(TOWNS),
            }
            message = SENTENCES[number % len(SENTENCES)].format(**order)
            row = {
                "id": f"order-{number + 1:03d}",
                "vars": {
                    "message": message,
                    "name": order["name"],
                    "article": order["article"],
                    "quantity": order["n"],
                    "town": order["town"],
                },
            }
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
