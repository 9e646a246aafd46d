"""XGBoost round by round: each round is a function of the model so far and of its own number, and of nothing else.

So a training that goes on from a checkpoint draws the same rows and columns as one that was never interrupted.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import xgboost
from xgboost.sklearn import XGBModel

from ..outcome import Bad, Unjudged
from .checkpoint import Reached, Shelf
from .device import required
from .matrix import Matrices
from .rounds import LOSS, Rounds, best, exhausted

LINES = 10  # of progress in a whole training


def boost(estimator: XGBModel, task: str, classes: int, device: str, data: Matrices, shelf: Shelf) -> Rounds:
    """Fit the estimator in place, keeping the best rounds alone; returns the losses of each round.

    Goes on from the shelf's checkpoint where there is one. Raises Unjudged where memory ends, the GPU was not used, or
    a signal asks to stop: what was reached is then on the shelf.
    """
    total, patience = estimator.get_num_boosting_rounds(), estimator.early_stopping_rounds
    given = parameters(estimator, task, classes, device)
    try:
        reached = shelf.load()
        rounds = reached.rounds if reached else []
        booster = xgboost.Booster(given, list(data), model_file=bytearray(reached.model) if reached else None)
        first, start = len(rounds), time.monotonic()
        with stopping() as signals:
            while len(rounds) < total and not exhausted(rounds, patience):
                rounds.append(step(booster, len(rounds), data, given))
                done = len(rounds)
                if done % max(total // LINES, 1) == 0:
                    left = (time.monotonic() - start) / (done - first) * (total - done)
                    loss = rounds[-1]["validation"]
                    print(f"train: round {done} of {total}, loss {loss:.5f}, at most {left:.0f} s left", flush=True)
                asked = signals[:1]
                saved = (asked or shelf.due()) and shelf.save(Reached(rounds, bytes(booster.save_raw())))
                if asked:
                    raise stopped(*asked, done, bool(saved))
    except (MemoryError, xgboost.core.XGBoostError) as error:
        if exhausted_memory(error):
            raise too_large(device) from error
        raise
    required(booster, device)
    keep(estimator, booster, rounds)
    return rounds


def step(booster: xgboost.Booster, number: int, data: Matrices, given: dict[str, Any]) -> dict[str, float]:
    """Train the round after `number` others; returns its losses.

    `seed_per_iteration` makes the rows that are drawn depend on the number alone. The columns are drawn by a generator
    that lives as long as XGBoost's tree updater (before 3.3) and is saved nowhere: a new updater, which exchanging
    the tree method and back brings at no measurable cost, makes them depend on the number too.
    """
    if number:
        booster.set_param({"tree_method": "approx"})
        booster.save_config()  # makes XGBoost act on the parameter
        booster.set_param({"tree_method": given["tree_method"]})
    booster.update(data[0], number)
    said = booster.eval_set([(data[0], "train"), (data[1], "validation")], number)
    train, validation = (float(word.rpartition(":")[2]) for word in said.split("\t")[1:])
    return {"round": number + 1, "train": train, "validation": validation}


def parameters(estimator: XGBModel, task: str, classes: int, device: str) -> dict[str, Any]:
    """What the estimator would give XGBoost; raises Bad for a metric of its own."""
    given = {name: value for name, value in estimator.get_xgb_params().items() if value is not None}
    if given.get("eval_metric", LOSS[task]) != LOSS[task]:
        what = f"train.xgboost.eval_metric is {given['eval_metric']!r}"
        raise Bad(what, f"Leave it out of params.yaml: rounds are judged by {LOSS[task]}, as reports/rounds.csv says.")
    if task == "multiclass":
        given["num_class"] = classes
    return {**given, "device": device, "eval_metric": LOSS[task], "seed_per_iteration": True}


def keep(estimator: XGBModel, booster: xgboost.Booster, rounds: Rounds) -> None:
    """Put the model, up to its best round where it stops early, into the estimator.

    Without what depends on the machine or on how it came about.
    """
    if estimator.early_stopping_rounds:
        booster = booster[: int(best(rounds)["round"])]
    given = estimator.get_params()
    estimator.load_model(bytearray(booster.save_raw()))
    estimator.set_params(**given)


@contextlib.contextmanager
def stopping() -> Iterator[list[signal.Signals]]:
    """The signals that have asked to stop: the round is ended first, then what was reached is saved."""
    asked: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # Python tells the main thread alone
        return
    wanted = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda number, _: asked.append(signal.Signals(number))) for number in wanted]
    try:
        yield asked
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)


def stopped(by: signal.Signals, done: int, saved: bool) -> Unjudged:
    on = "the next `make train` goes on from there" if saved else "the next `make train` starts again"
    return Unjudged(f"stopped by {by.name} after round {done}; {on}", "Run `make train` again.")


def exhausted_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "bad_alloc" in str(error) or "memory" in str(error).lower()


def too_large(device: str) -> Unjudged:
    where = "the GPU" if device == "cuda" else "this machine"
    remedy = "Set train.memory to external, lower max_depth or max_bin in params.yaml, or use a larger one."
    return Unjudged(f"training ran out of memory on {where}", remedy)
