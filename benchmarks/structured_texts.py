"""The prompts of :mod:`benchmarks.structured`: what is extracted, what is copied, what is invented.

All of it was written for this purpose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_TEXTS = Path(__file__).parent / "texts"
ARTICLE = (_TEXTS / "harbour.txt").read_text(encoding="utf-8")
LETTER = (_TEXTS / "letter.txt").read_text(encoding="utf-8")
CODE = (_TEXTS / "code.txt").read_text(encoding="utf-8")

_CONTACT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "company": {"type": "string"},
        "email": {"type": "string"},
        "phone": {"type": "string"},
        "city": {"type": "string"},
    },
    "required": ["name", "company", "email", "phone", "city"],
    "additionalProperties": False,
}
_ORDER = {
    "type": "object",
    "properties": {
        "customer": {"type": "string"},
        "order_number": {"type": "string"},
        "lines": {
            "type": "array",
            "minItems": 3,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "article": {"type": "string"},
                    "quantity": {"type": "integer"},
                    "unit_price": {"type": "number"},
                },
                "required": ["article", "quantity", "unit_price"],
                "additionalProperties": False,
            },
        },
        "delivery_city": {"type": "string"},
    },
    "required": ["customer", "order_number", "lines", "delivery_city"],
    "additionalProperties": False,
}
_FIELDS = {
    "language": ["English", "German", "French", "Spanish"],
    "tone": ["friendly", "neutral", "angry"],
    "topic": ["delivery", "payment", "product quality", "account"],
    "urgency": ["low", "medium", "high"],
    "customer_type": ["private customer", "business customer"],
    "product_group": ["kitchen appliances", "garden tools", "furniture"],
    "wants_refund": ["yes", "no"],
    "wants_reply": ["yes", "no"],
    "mentions_competitor": ["yes", "no"],
    "next_step": ["forward to support", "forward to accounting", "answer directly", "ignore"],
}
_LABELS = {
    "type": "object",
    "properties": {name: {"type": "string", "enum": values} for name, values in _FIELDS.items()},
    "required": list(_FIELDS),
    "additionalProperties": False,
}

EXTRACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "contact": (
        "Extract the contact from this signature as JSON with name, company, email, phone and "
        "city.\n\nMaria Lindqvist\nHead of workshop\nLindqvist Fountains\nHafenstrasse 14, Basel\n"
        "maria.lindqvist@lindqvist-fountains.example\n+41 61 555 01 72",
        _CONTACT,
    ),
    "order": (
        "Extract the order from this message as JSON with customer, order_number, lines (article, "
        "quantity, unit_price) and delivery_city.\n\nOrder A-20417 from Carvalho & Sons: please "
        "send 12 garden chairs at 34.50 euros each, 3 oak tables at 219 euros each and 40 metres "
        "of rope at 1.20 euros a metre to our shop in Porto.",
        _ORDER,
    ),
    "ten labels": (
        "Label this message as JSON with the fields "
        + ", ".join(f"{name} ({' | '.join(values)})" for name, values in _FIELDS.items())
        + ".\n\nGood morning, the mixer that I bought for my restaurant in March has stopped for "
        "the third time. I want my money back by Friday, or I will buy the one of your "
        "neighbours. Please answer today.",
        _LABELS,
    ),
}

FREE: dict[str, tuple[str, tuple[str, int]]] = {
    "summary": (
        f"Summarise the article in about 150 words. Keep the names and figures.\n\n{ARTICLE}",
        ("copy", 300),
    ),
    "corrected letter": (
        "Correct the spelling and grammar of this letter. Change nothing else, and answer with "
        f"the whole corrected letter only.\n\n{LETTER}",
        ("copy", 400),
    ),
    "renamed text": (
        "Write the text again, word for word, but call the harbour Santa Rita instead of Vila "
        f"Nova.\n\n{ARTICLE}",
        ("copy", 600),
    ),
    "code": (
        "Add type hints to this function and use a with statement. Answer with the code only."
        f"\n\n{CODE}",
        ("copy", 300),
    ),
    "story of a fox": ("Write a story about a fox who learns to swim.", ("story", 300)),
    "story of a lamp": (
        "Write a story about an old lamp that is found in the cellar of a bakery.",
        ("story", 300),
    ),
}
