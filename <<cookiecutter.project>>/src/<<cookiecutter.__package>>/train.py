"""Fits the pipeline on the training window, with early stopping on the validation window.

The same data, parameters and device give the same bits, whatever the number of threads.
"""

import csv
import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy
import pandas
import pyarrow.parquet as parquet
import yaml
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.pipeline import Pipeline

from .features import build, frame, target
from .outcome import Bad, Unjudged, run
from .schema import SCHEMA

DATA = Path("data")
NATIVE = Path("models/native")
COST = Path("reports/training.json")
ROUNDS = Path("reports/rounds.csv")
LOSS = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}  # what each round is judged by
LINES = 10  # of progress in a whole training


def obstacle(device: str) -> str:
    """Why XGBoost cannot train on the device, "" where it can: asked for a GPU that it cannot use, it only warns."""
    import xgboost

    if device == "cuda" and not xgboost.build_info().get("USE_CUDA"):
        return "this XGBoost is built for the CPU alone (DEVICE=cuda in the environment installs the other build)"
    data = xgboost.DMatrix(numpy.zeros((2, 1)), label=numpy.array([0.0, 1.0]))
    try:
        with xgboost.config_context(verbosity=0):
            booster = xgboost.train({"device": device}, data, num_boost_round=1)
    except xgboost.core.XGBoostError as error:
        return f"XGBoost fails on it: {str(error).strip().splitlines()[0]}"
    return "" if runs_on(booster) == device else "XGBoost finds no usable GPU (see `nvidia-smi`)"


def runs_on(booster: Any) -> str:
    """The kind of device that the booster last used: cpu or cuda."""
    return json.loads(booster.save_config())["learner"]["generic_param"]["device"].partition(":")[0]


def choose(asked: str) -> str:
    """cpu or cuda for auto, cpu or cuda; raises Unjudged where cuda is asked for and cannot be used."""
    if asked not in ("auto", "cpu", "cuda"):
        raise Bad(f"the device is {asked!r}", "Use auto, cpu or cuda in params.yaml or in DEVICE.")
    why = "" if asked == "cpu" else obstacle("cuda")
    if why and asked == "cuda":
        raise Unjudged(f"the device is cuda, but {why}", "Train where there is a GPU, or set DEVICE=cpu.")
    return "cpu" if why or asked == "cpu" else "cuda"


def boost(pipeline: Pipeline, device: str, data: Mapping[str, tuple[pandas.DataFrame, numpy.ndarray]]) -> list[dict]:
    """Fit preprocessing and XGBoost in place, keeping the best rounds alone; returns the losses of each round.

    `data`: train and validation, features and target. Raises Unjudged where memory ends or the GPU was not used.
    """
    import xgboost

    class Progress(xgboost.callback.TrainingCallback):
        def before_training(self, model: Any) -> Any:
            self.start = time.monotonic()
            return model

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            done, total = epoch + 1, estimator.n_estimators
            if done % max(total // LINES, 1) == 0:
                loss = next(iter(evals_log["validation_1"].values()))[-1]
                left = (time.monotonic() - self.start) / done * (total - done)
                print(f"train: round {done} of {total}, loss {loss:.5f}, at most {left:.0f} s left", flush=True)
            return False

    features, estimator = pipeline["features"], pipeline["estimator"]
    features.fit(data["train"][0])
    shown = [(features.transform(rows), truth) for rows, truth in data.values()]
    callbacks: list[Any] = [Progress()]
    if estimator.early_stopping_rounds:
        callbacks.append(xgboost.callback.EarlyStopping(rounds=estimator.early_stopping_rounds, save_best=True))
    estimator.set_params(device=device, callbacks=callbacks, early_stopping_rounds=None)
    try:
        estimator.fit(*shown[0], eval_set=shown, verbose=False)
    except (MemoryError, xgboost.core.XGBoostError) as error:
        if isinstance(error, MemoryError) or "bad_alloc" in str(error) or "memory" in str(error).lower():
            where = "the GPU" if device == "cuda" else "this machine"
            remedy = "Lower max_depth or max_bin in params.yaml, or use a larger one."
            raise Unjudged(f"training ran out of memory on {where}", remedy) from error
        raise
    if runs_on(estimator.get_booster()) != device:
        raise Unjudged(f"training was asked to run on {device} and ran elsewhere", "Look at XGBoost's warnings above.")
    logs = estimator.evals_result().values()
    losses = {name: next(iter(log.values())) for name, log in zip(data, logs, strict=True)}
    # What the file keeps must not depend on the machine: neither the device nor the callbacks with their clock.
    estimator.set_params(device=None, callbacks=None)
    return [
        {"round": number, "train": train, "validation": validation}
        for number, (train, validation) in enumerate(zip(losses["train"], losses["validation"], strict=True), start=1)
    ]


def fit(pipeline: Pipeline, task: str, data: Mapping[str, tuple[pandas.DataFrame, numpy.ndarray]]) -> list[dict]:
    """Fit an estimator that has no rounds to report; returns its losses as those of a single round."""
    pipeline.fit(*data["train"])
    line: dict[str, float] = {"round": 1}
    for name, (rows, truth) in data.items():
        if task == "regression":
            line[name] = float(root_mean_squared_error(truth, pipeline.predict(rows)))
        else:
            line[name] = float(log_loss(truth, pipeline.predict_proba(rows), labels=pipeline.classes_))
    return [line]


def present(task: str, truth: numpy.ndarray) -> None:
    """Raise Bad unless every class occurs in the training window: no estimator can give it a probability."""
    if task != "regression":
        names = SCHEMA.classes()
        absent = [name for index, name in enumerate(names) if not (truth == index).any()]
        if absent:
            what = f"the training window has no row of the class {absent[0]!r}"
            raise Bad(what, "Widen `split.train` in params.yaml, or take the class out of the schema.")


def main(arguments: list[str]) -> None:
    start = time.monotonic()
    # Threads that spin while they wait cost a busy machine three times the time. Read when XGBoost is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    params = yaml.safe_load(Path("params.yaml").read_text())
    task, settings = params["task"], params["train"]
    name = settings["estimator"]
    pipeline = build(SCHEMA, task, name, settings["seed"], settings.get(name))
    device = choose(os.environ.get("DEVICE") or settings["device"]) if name == "xgboost" else "cpu"
    data = {}
    for part in ("train", "validation"):
        table = parquet.read_table(DATA / f"{part}.parquet")
        data[part] = (frame(SCHEMA, table), target(SCHEMA, task, table))
    present(task, data["train"][1])
    print(f"train: {name} on {device}, {len(data['train'][1]):,} rows, {len(SCHEMA.features)} features", flush=True)
    rounds = boost(pipeline, device, data) if name == "xgboost" else fit(pipeline, task, data)
    stopping = (settings.get(name) or {}).get("early_stopping_rounds")
    best = min(rounds, key=lambda line: line["validation"]) if stopping else rounds[-1]

    NATIVE.mkdir(parents=True, exist_ok=True)
    joblib.dump(pipeline, NATIVE / "pipeline.joblib")
    with ROUNDS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["round", f"train_{LOSS[task]}", f"validation_{LOSS[task]}"])
        writer.writerows([line["round"], f"{line['train']:.6f}", f"{line['validation']:.6f}"] for line in rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    cost = {
        "estimator": name,
        "device": device,
        "seconds": round(time.monotonic() - start, 1),
        "peak_memory_mb": round(peak),
        "rows": len(data["train"][1]),
        "rounds": len(rounds),
        "best_round": best["round"],
        f"validation_{LOSS[task]}": round(best["validation"], 6),
    }
    COST.write_text(json.dumps(cost, indent=1, sort_keys=True) + "\n")
    print("train: {seconds} s, {peak_memory_mb} MB, best round {best_round} of {rounds}".format(**cost))


if __name__ == "__main__":
    sys.exit(run("train", main, sys.argv[1:]))
