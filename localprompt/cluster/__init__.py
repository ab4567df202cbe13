"""The same work on other machines: Dask transports it, children of its workers do it.

    client ── hands ──▶ scheduler ──▶ worker ── room ──▶ child (llama.cpp)

:mod:`~localprompt.cluster.room` and :mod:`~localprompt.cluster.local` know nothing of Dask; the
other modules need the extra ``cluster``. Models are never sent: each machine has its own.
"""
