"""Where releases run: `target.py` is what every place offers, as `process`, `compose` and `kubernetes` do.

    chosen.py    the place that this project is set to
    stepwise.py  a move of production by shares, watched
    history.py   what production has run
    store.py     where a place keeps what it must not forget
    releases.py  packages kept by digest
    counts.py    what a release has answered
"""
