"""Does this build of llama.cpp compute right on this CPU? Asked before anybody relies on it.

A library that was built for another CPU, or by a compiler that has an error, dies without a word
(``Illegal instruction``) or answers nonsense. So the first time that a library meets a CPU, a
child process runs a tiny model of ours through it, twice: with the weights as they lie in the
file (the *plain* path), and with llama.cpp's extra buffer types, which lay them out anew for this
CPU (repacked, AMX: the *extra* path). Its logits are compared with those of a reference that was
computed without llama.cpp. What came out is kept and not asked again until library or CPU change.

``tiny`` writes the model, ``child`` runs it, ``verdict`` judges and keeps, and ``gate`` says what
that means for who wants to open a model.
"""
