"""``./run mutate``: changes the code that decides, one small change at a time, and asks whether a unit test notices.

``targets`` lists the modules and their tests, ``mutants`` makes the changes, ``trial`` runs the tests on each of them,
``record`` keeps what came of it. ``equivalent.toml`` explains the changes that no test can notice.
"""
