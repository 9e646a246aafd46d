"""The stage as a whole: from params.yaml and the rows to models/native, and what the training cost."""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import yaml
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.pipeline import Pipeline

from ..features import build
from ..outcome import Bad, Unjudged
from ..schema import SCHEMA
from . import device, memory
from .checkpoint import Shelf, key
from .rounds import LOSS, Rounds, best, write
from .rows import Rows

DATA = Path("data")
NATIVE = Path("models/native")
COST = Path("reports/training.json")
ROUNDS = Path("reports/rounds.csv")
HERE = Path(__file__).parent
CODE = ("features.py", "schema.py", "columns.py")  # with this folder, the stage's code among its deps in dvc.yaml


def main(arguments: list[str]) -> None:
    start = time.monotonic()
    # Threads that spin while they wait cost a busy machine three times the time. Read when XGBoost is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    params = yaml.safe_load(Path("params.yaml").read_text())
    task, settings = params["task"], params["train"]
    name = settings["estimator"]
    pipeline = build(SCHEMA, task, name, settings["seed"], settings.get(name))
    on = device.choose(os.environ.get("DEVICE") or settings["device"]) if name == "xgboost" else "cpu"
    parts = {part: Rows(DATA / f"{part}.parquet", SCHEMA, task) for part in ("train", "validation")}
    parts["train"].present()
    rows = parts["train"].count
    print(f"train: {name} on {on}, {rows:,} rows, {len(SCHEMA.features)} features", flush=True)
    shelf = None
    if name == "xgboost":
        rounds, shelf = boosted(pipeline, parts, params, on)
    else:
        plain(settings)
        rounds = fit(pipeline, parts)
    save(pipeline, task, rounds)
    if shelf:
        shelf.clear()
    stopping = (settings.get(name) or {}).get("early_stopping_rounds")
    last = best(rounds) if stopping else rounds[-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    cost = {
        "estimator": name,
        "device": on,
        "seconds": round(time.monotonic() - start, 1),
        "peak_memory_mb": round(peak),
        "rows": rows,
        "rounds": len(rounds),
        "best_round": last["round"],
        f"validation_{LOSS[task]}": round(last["validation"], 6),
    }
    COST.write_text(json.dumps(cost, indent=1, sort_keys=True) + "\n")
    print("train: {seconds} s, {peak_memory_mb} MB, best round {best_round} of {rounds}".format(**cost))


def boosted(pipeline: Pipeline, parts: dict[str, Rows], params: dict[str, Any], on: str) -> tuple[Rounds, Shelf | None]:
    """Train XGBoost in this process or on workers; returns the losses of each round, and the checkpoints to clear."""
    from . import boost, distributed, matrix

    task, classes, estimator = params["task"], len(SCHEMA.classes()), pipeline["estimator"]
    workers = distributed.Workers.asked(params["train"])
    if workers:
        return distributed.boost(pipeline, task, classes, on, parts, workers), None
    size = matrix.size(parts, parts["train"].values())
    mode, said = memory.choose(params["train"].get("memory", "auto"), size, on)
    print(f"train: {said}", flush=True)
    settings = {"task": task, "train": params["train"], "device": on, "memory": mode}
    shelf = Shelf(key(settings, determining()))
    options = {"bins": estimator.max_bin, "threads": estimator.n_jobs}
    data = matrix.make(pipeline["features"], parts, mode, on, **options)
    return boost.boost(estimator, task, classes, on, data, shelf), shelf


def determining() -> list[Path]:
    """The files that determine the result, besides the parameters and the device."""
    code = [*sorted(HERE.glob("*.py")), *(HERE.parent / name for name in CODE)]
    return [DATA / "train.parquet", DATA / "validation.parquet", *code, HERE.parents[2] / "uv.lock"]


def plain(settings: dict[str, Any]) -> None:
    """Raise Bad where what XGBoost alone can do is asked of another estimator."""
    for name, values in (("memory", ("auto", "in_memory")), ("workers", (1,))):
        if settings.get(name, values[0]) not in values:
            own = f"{settings['estimator']} trains in one process and in memory"
            what = f"train.{name} is {settings[name]!r}, and {own}"
            raise Bad(what, "Take it out of params.yaml, or set train.estimator to xgboost.")


def fit(pipeline: Pipeline, parts: dict[str, Rows]) -> Rounds:
    """Fit an estimator that has no rounds to report; returns its losses as those of a single round."""
    line: dict[str, float] = {"round": 1}
    for name, part in parts.items():
        rows, truth = part.all()
        if name == "train":
            pipeline.fit(rows, truth)
        if part.task == "regression":
            line[name] = float(root_mean_squared_error(truth, pipeline.predict(rows)))
        else:
            line[name] = float(log_loss(truth, pipeline.predict_proba(rows), labels=pipeline.classes_))
    return [line]


def save(pipeline: Pipeline, task: str, rounds: Rounds) -> None:
    """Write the model and its rounds; raises Unjudged where the disk does not take them."""
    try:
        NATIVE.mkdir(parents=True, exist_ok=True)
        joblib.dump(pipeline, NATIVE / "pipeline.joblib")
        write(ROUNDS, task, rounds)
    except OSError as error:
        what = f"the trained model could not be written to {NATIVE}: {error.strerror}"
        raise Unjudged(what, "Free some space; the next `make train` goes on from the last checkpoint.") from error
