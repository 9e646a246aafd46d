"""Logs to MLflow the training that `dvc.lock` records: one finished run for each model and its evaluation.

Everything is read from the files that the stages left, so that a run can be logged long after its training, from any
machine that has them.
"""

import csv
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy
import onnx
import yaml
from mlflow.entities import Metric, Param, RunTag
from mlflow.models.signature import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from ci.lineage import METRICS, MODEL, identity, lineage, recorded
from ci.machine import watch
from ci.machine.cost import cost
from ci.plots import line_chart
from ci.registry import TRAINING, address, client, experiment
from << cookiecutter.__package >>.outcome import Unjudged

REPORTS = Path("reports")
POINTS = 500  # of one measure of the machine
BATCH = 500  # metrics in one request; the server takes 1,000


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as pairs of dotted name and value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def numbers() -> Iterator[tuple[str, float, int]]:
    """Metric, value and step: the evaluation, what training cost, and the losses of each round."""
    for source, prefix in ((METRICS, ""), ("reports/training.json", "training."), ("reports/export.json", "export.")):
        for name, value in flat(json.loads(Path(source).read_text())):
            if isinstance(value, int | float):
                yield f"{prefix}{name}", float(value), 0
    for line in rounds():
        for name, value in line.items():
            if name != "round":
                yield name, value, int(line["round"])


def sampled(model: str) -> Iterator[tuple[str, float, int, int]]:
    """Metric, value, time in milliseconds and step in seconds of what the machine did while it trained this model."""
    begun = cost(model).get("at")
    samples = watch.rows() if begun else []
    for row in samples[:: len(samples) // POINTS + 1]:
        at = datetime.fromisoformat(begun).timestamp() + row["seconds"]
        for name, value in row.items():
            if name != "seconds":
                yield f"machine.{name}", value, int(1000 * at), int(row["seconds"])


def rounds() -> list[dict[str, float]]:
    with (REPORTS / "rounds.csv").open(newline="") as file:
        return [{name: float(value) for name, value in line.items()} for line in csv.DictReader(file)]


def signature(model: onnx.ModelProto) -> ModelSignature:
    """The graph's own inputs and output."""

    def specs(values: Any) -> Schema:
        found = []
        for value in values:
            tensor = value.type.tensor_type
            shape = tuple(size.dim_value or -1 for size in tensor.shape.dim)
            text = tensor.elem_type == onnx.TensorProto.STRING
            found.append(TensorSpec(numpy.dtype(str if text else numpy.float32), shape, value.name))
        return Schema(found)

    return ModelSignature(inputs=specs(model.graph.input), outputs=specs(model.graph.output))


def save_model(folder: Path) -> None:
    """The graph as an MLflow model in `folder`, byte for byte the file that DVC has."""
    model = onnx.load(MODEL)
    mlflow.onnx.save_model(
        model,
        folder,
        signature=signature(model),
        pip_requirements=[f"{name}=={version(name)}" for name in ("onnxruntime", "numpy")],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
    shutil.copyfile(MODEL, folder / "model.onnx")


def save_plots(folder: Path) -> None:
    """Losses by round, and the calibration curve beside its diagonal, as SVG."""
    folder.mkdir()
    lines = rounds()
    names = [name for name in lines[0] if name != "round"]
    losses = {name: [(line["round"], line[name]) for line in lines] for name in names}
    (folder / "rounds.svg").write_text(line_chart("Loss by round", "round", losses))
    with (REPORTS / "calibration.csv").open(newline="") as file:
        curve = [(float(line["score"]), float(line["share"])) for line in csv.DictReader(file)]
    ends = [min(map(min, curve)), max(map(max, curve))]
    drawn = {"model": curve, "perfect": [(end, end) for end in ends]}
    (folder / "calibration.svg").write_text(line_chart("What happened, by score", "mean score", drawn))


def finished(at: MlflowClient, tags: dict[str, str]) -> str | None:
    """The id of a finished training run with these tags, if there is one."""
    conditions = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    where = f"attributes.status = 'FINISHED' and {conditions}"
    found = at.search_runs([experiment(at, TRAINING)], where, max_results=1)
    return found[0].info.run_id if found else None


def track() -> tuple[str, bool]:
    """Log what `dvc.lock` records unless it is logged already; returns the run's id and whether it is new.

    Raises Unjudged where MLflow does not answer or fails on the way; the run is then left as failed.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    at = client()
    hashes = recorded()
    known = finished(at, identity(hashes))
    if known:
        return known, False
    tags = lineage(hashes)
    run = at.create_run(experiment(at, TRAINING), run_name=f"{tags['git_sha'][:8]}-{tags['model_md5'][:8]}").info.run_id
    try:
        fill(at, run, tags)
        at.set_terminated(run, "FINISHED")
    except Exception as error:
        try:
            at.set_terminated(run, "FAILED")
        except Exception as again:  # the same server; what matters is the first error
            error.add_note(f"the run stays open: {again}")
        what = f"MLflow at {address()} took only part of the run {run}: {str(error).splitlines()[0]}"
        raise Unjudged(what, "Mend that; the next `make train` logs the run afresh, without training.") from error
    return run, True


def fill(at: MlflowClient, run: str, tags: dict[str, str]) -> None:
    now = int(time.time() * 1000)
    params = [Param(name, str(value)) for name, value in flat(yaml.safe_load(Path("params.yaml").read_text()))]
    at.log_batch(run, params=params, tags=[RunTag(name, value) for name, value in tags.items()])
    metrics = [Metric(name, value, now, step) for name, value, step in numbers()]
    metrics += [Metric(name, value, at, step) for name, value, at, step in sampled(tags["model_md5"])]
    for start in range(0, len(metrics), BATCH):
        at.log_batch(run, metrics=metrics[start : start + BATCH])
    with tempfile.TemporaryDirectory() as scratch:
        save_model(Path(scratch, "model"))
        save_plots(Path(scratch, "plots"))
        at.log_artifacts(run, scratch)
    for report in sorted(REPORTS.glob("*")):
        if report.suffix in (".json", ".csv", ".html") and str(report) in recorded():
            at.log_artifact(run, str(report), "reports")
    at.log_artifact(run, "params.yaml")
    at.log_artifact(run, "dvc.lock")
