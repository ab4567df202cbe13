"""The history of runs: one SQLite file, ``history.db`` in ``$LOCALPROMPT_HOME``.

``schema`` says what is in it, ``connection`` opens it and explains why it cannot be, ``writer``
adds runs, ``reader`` finds them again, ``pruning`` forgets them. Nothing else in the package
imports sqlite3. Views never come here: they are given the records that a reader found.
"""
