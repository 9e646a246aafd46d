"""Judges `data/dataset.parquet`: what is expected (suite), what is there (scan), the verdict (judge), its page (page).

The expectations and their results are Great Expectations' own. Only the metrics that they ask for come from DuckDB,
in one scan of bounded memory, instead of from a pandas frame that holds all rows.
"""
