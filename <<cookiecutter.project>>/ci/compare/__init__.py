"""Candidate against champion: who the champion is, both on the same rows, and what the numbers amount to.

`history` reads earlier commits, `champion` finds the model to beat, `comparison` scores both and collects the numbers,
`changes` says what else differs, `verdict` judges; `markdown`, `mermaid`, `page` and `figures` show it.
"""
