"""Training on several processes, GPUs or machines: XGBoost's own interface to Dask.

Workers of this machine (`train.workers`), or those of a scheduler that runs already (`DASK_SCHEDULER`). No checkpoints,
and no promise of the same bits: which worker holds which rows, and in which order sums arrive, differ from run to run.
"""

import contextlib
import itertools
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from ..outcome import Bad, Unjudged
from .boost import LINES, keep, parameters
from .device import required
from .matrix import Parts, size
from .rounds import LOSS, Rounds
from .rows import Rows, learn

REMEDY = "Its packages are the group `distributed`, which `make train` installs where params.yaml asks for workers."


@dataclass(frozen=True)
class Workers:
    """`count` processes of this machine, or the ones that the scheduler at `address` has."""

    count: int
    address: str = ""

    @classmethod
    def asked(cls, settings: Mapping[str, Any]) -> "Workers | None":
        """What `train.workers` or DASK_SCHEDULER ask for; None for this process alone."""
        count, address = settings.get("workers", 1), os.environ.get("DASK_SCHEDULER", "")
        if not isinstance(count, int) or count < 1:
            raise Bad(f"train.workers is {count!r}", "Use a number from 1 in params.yaml; 1 is this process alone.")
        return cls(count, address) if address or count > 1 else None


def boost(pipeline: Pipeline, task: str, classes: int, device: str, parts: Parts, workers: Workers) -> Rounds:
    """Fit the pipeline in place, keeping the best rounds alone; returns the losses of each round."""
    try:
        from xgboost import dask
    except ImportError as error:
        raise Unjudged(f"training on workers needs Dask: {error}", REMEDY) from error
    features, estimator = pipeline["features"], pipeline["estimator"]
    values = parts["train"].values()
    learn(features, parts["train"], values)
    whole = size(parts, values)
    total = estimator.get_num_boosting_rounds()
    given = parameters(estimator, task, classes, device)
    with joined(workers, device) as client:
        names = [*client.scheduler_info()["workers"]]
        print(f"train: on {len(names)} workers by Dask, without checkpoints", flush=True)
        options = {"max_bin": estimator.max_bin}
        train, validation = (arrays(part, features, whole.columns, len(names), whole.batch) for part in parts.values())
        first = dask.DaskQuantileDMatrix(client, *train, **options)
        second = dask.DaskQuantileDMatrix(client, *validation, ref=first, **options)
        found = dask.train(
            client,
            given,
            first,
            num_boost_round=total,
            evals=[(first, "train"), (second, "validation")],
            early_stopping_rounds=estimator.early_stopping_rounds,
            verbose_eval=max(total // LINES, 1),
        )
    required(found["booster"], device)
    losses = [found["history"][name][LOSS[task]] for name in ("train", "validation")]
    pairs = enumerate(zip(*losses, strict=True), start=1)
    rounds = [{"round": number, "train": first, "validation": second} for number, (first, second) in pairs]
    keep(estimator, found["booster"], rounds)
    return rounds


@contextlib.contextmanager
def joined(workers: Workers, device: str) -> Iterator[Any]:
    """A client of the scheduler, or of workers that live as long as the block."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    if workers.address:
        try:
            client = Client(workers.address, timeout=10)
        except (OSError, ValueError) as error:
            what = f"no Dask scheduler answers at {workers.address}"
            raise Unjudged(what, "Start one, or unset DASK_SCHEDULER.") from error
        with client:
            yield client
        return
    threads = max((os.cpu_count() or 1) // workers.count, 1)
    gpus, quiet = visible(), {"dashboard": False, "silence_logs": logging.ERROR}

    def options(number: int) -> dict[str, Any]:
        one = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)] if gpus else str(number)}  # a GPU of its own
        return {"nthreads": threads, "env": one if device == "cuda" else {}, **quiet}

    nannies = {number: {"cls": Nanny, "options": options(number)} for number in range(workers.count)}
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "host": "127.0.0.1"}}
    with SpecCluster(nannies, scheduler, silence_logs=logging.ERROR) as cluster, Client(cluster) as client:
        client.wait_for_workers(workers.count, timeout=120)
        yield client


def visible() -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES names."""
    return [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]


def arrays(rows: Rows, features: ColumnTransformer, columns: int, workers: int, batch: int) -> tuple[Any, Any]:
    """Features (n, columns) float32 and target (n,) as Dask arrays; every worker reads and transforms its own rows."""
    import dask
    from dask import array

    # A multiple of the workers, so that each has the same share.
    pieces = workers * -(-rows.count // (batch * workers))
    edges = numpy.linspace(0, rows.count, pieces + 1).astype(int).tolist()
    absolute = Rows(rows.path.absolute(), rows.schema, rows.task)
    matrices, targets = [], []
    for start, stop in itertools.pairwise(edges):
        matrix, truth = dask.delayed(piece, nout=2)(absolute, features, start, stop)
        matrices.append(array.from_delayed(matrix, (stop - start, columns), numpy.float32))
        targets.append(array.from_delayed(truth, (stop - start,), numpy.float64))
    return array.concatenate(matrices), array.concatenate(targets)


def piece(rows: Rows, features: ColumnTransformer, start: int, stop: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    taken, truth = rows.slice(start, stop)
    return features.transform(taken), truth.astype(numpy.float64)
