"""The machine that trains: shared by several runners, watched while it works, and left as it was found.

`devices` and the package's `host` read it, `before` judges whether it can train, `lock` lets one training at a time
onto a device, `journal` keeps what a killed training leaves behind, `watch` samples it, `verdict` says why a training
failed, `leftovers` and `caches` clean up. `train` uses them in this order; the words `diagnose` and `clean` come after.
"""
