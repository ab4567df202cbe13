"""Write the tables of estimates against published figures into the guide.

Run it from the checkout after any change to the estimator or its data; a test compares.
"""

from __future__ import annotations

from pathlib import Path

from localprompt.finetune.published import accuracy_table

GUIDE = Path(__file__).parent / "guide" / "finetune-estimate.md"
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"


def main() -> None:
    before, rest = GUIDE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    GUIDE.write_text(f"{before}{BEGIN}{accuracy_table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
