"""What the load test sends, how it sends it, and how what came back is judged: see `ci/load.py`."""
