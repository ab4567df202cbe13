"""The local page: what the command line does, in a browser on this machine only.

    guard.py     who may: host, key and cookie, origin, sizes, what a browser may load
    site.py      what all pages share: the history, the engine, templates
    look.py      runs, benches, evaluations, tunings, comparisons
    cases.py     one case over evaluations
    trying.py    a form made of prompts' inputs; answers side by side as they stream
    chatting.py  conversations, turn by turn
    prompts.py   prompt files, read and changed
    models.py    models, fetching and quantizing them, and what this machine can do
    chores.py    the child that does what takes minutes; chore_worker.py is that child
    host.py      one child process with one open model, and the queue before it
    worker.py    that child
    server.py    the port, the key, and uvicorn

A page shows the sections that reports draw; a run from the page is a run like any other.
"""
