"""Bundles: models, prompts, suites and the program in one archive, for machines without a network.

In the order of the data: ``contents`` (what a user names → files), ``target``, ``pip``, ``builds``
and ``wheels`` (the program for the machine on the other side), ``licences`` and ``sbom`` (what is
inside and under which terms), ``make`` (everything → one archive). On the other side: ``check``
(archive or folder → verified files), ``install`` (into a home). ``manifest``, ``archive`` and
``signing`` serve both. ``on_target`` and ``install.sh`` travel inside the bundle and run where
localprompt is not installed yet.
"""
