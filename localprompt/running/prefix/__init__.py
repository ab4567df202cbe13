"""States after the constant beginnings of prompts, kept on disk between processes.

Two thirds of the time before the first word, and more, goes into text that is the same in every
run of a prompt: its system text, instructions and examples. What llama.cpp's KV cache holds after
them is kept in ``cache/prefixes`` of ``$LOCALPROMPT_HOME``, one file for each beginning, and a
later run reads it instead of computing it. Nothing of the values that a prompt was run with is in
there: a beginning ends before the first token that depends on one.

``key`` says which states are interchangeable, ``seal`` how a file shows that it is whole, and
``store`` keeps, finds, evicts and deletes. A file that is lost, damaged or unreadable costs the
time that it would have saved and nothing else.
"""
