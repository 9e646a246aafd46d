"""The target `process`: `place.py` gives orders, `supervisor.py` carries them out with `worker.py` and `slots.py`.

The last three need the standard library alone.
"""
