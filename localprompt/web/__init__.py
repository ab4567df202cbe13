"""The local page: what the command line does, in a browser on this machine only.

    guard.py     who may: host, key and cookie, origin, sizes, what a browser may load
    site.py      what all pages share: the history, the engine, templates
    look.py      runs, benches, evaluations, tunings, comparisons
    trying.py    a form made of a prompt's inputs; answers as they stream
    models.py    models and what this machine can do
    host.py      one child process with one open model, and the queue before it
    worker.py    that child
    server.py    the port, the key, and uvicorn

A page shows the sections that reports draw; a run from the page is a run like any other.
"""
