"""Measure how faithful attribution methods are, on real models and tasks whose evidence is known.

Data flow: a task makes a `Puzzle`; the model answers it and, if it is right, the answer becomes an
`Example` (`example.py`); every method scores the example's prompt tokens (`scorers.py`); tokens are
removed by score and the model is asked again (`deletion.py`); the outcomes become `metrics.py`'s
numbers, one JSON line an example and method (`records.py`), and those a table with intervals
(`report.py`).
"""
