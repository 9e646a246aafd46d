"""Where a release runs. `target.py` is what every kind of place has to offer; `process.py` is this machine."""
