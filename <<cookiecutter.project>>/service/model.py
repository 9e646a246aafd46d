"""The ONNX graph in memory: rows in, predictions out."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy
import onnxruntime

from << cookiecutter.__package >>.columns import Category, Schema
from << cookiecutter.__package >>.schema import SCHEMA

ROOT = Path(__file__).resolve().parent.parent  # the repository, or the source folder of the Bento
GRAPH = ROOT / "models" / "model.onnx"


class Probability(msgspec.Struct, gc=False):
    """Binary: the probability that the label is true."""

    probability: float


class Label(msgspec.Struct, gc=False):
    """Multiclass: the most probable class and every class's probability."""

    label: str
    probabilities: dict[str, float]


class Value(msgspec.Struct, gc=False):
    """Regression: the predicted value."""

    value: float


PREDICTIONS = {"binary": Probability, "multiclass": Label, "regression": Value}


def version() -> str:
    """The registered version that this process serves: `MODEL_VERSION`, else what the package recorded."""
    recorded = ROOT / "models" / "version"
    return os.environ.get("MODEL_VERSION") or (recorded.read_text().strip() if recorded.exists() else "unregistered")


class Model:
    """An ONNX session on one thread: parallel requests are served by parallel processes.

    Raises ValueError where the graph was exported for another schema.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        about = self.session.get_modelmeta().custom_metadata_map
        self.task = about["task"]
        self.classes = json.loads(about["classes"])
        names = [column.name for column in schema.features]
        inputs = {given.name for given in self.session.get_inputs()}
        if inputs != set(names) or self.task not in PREDICTIONS:
            differing = ", ".join(sorted(inputs ^ set(names)))
            raise ValueError(f"{path.name} ({self.task}) was exported for another schema: {differing}")
        text = [isinstance(column, Category) for column in schema.features]
        self.texts = [(place, name) for place, name in enumerate(names) if text[place]]
        self.numbers = [(place, name) for place, name in enumerate(names) if not text[place]]

    def score(self, rows: list[tuple]) -> numpy.ndarray:
        """Predictions for n rows in the schema's order: (n,) for binary and regression, (n, K) for K classes.

        The same inputs as `Schema.feeds` makes, from rows instead of columns: one array holds all the numbers.
        """
        columns = list(zip(*rows, strict=True))
        feeds = {}
        for place, name in self.texts:
            feeds[name] = numpy.array([[value or ""] for value in columns[place]], dtype=object)
        if self.numbers:
            block = numpy.array([columns[place] for place, _ in self.numbers], dtype=numpy.float32)  # None becomes NaN
            for (_, name), column in zip(self.numbers, block.reshape(len(self.numbers), -1, 1), strict=True):
                feeds[name] = column
        found = self.session.run(None, feeds)[0]
        return found if self.task == "multiclass" else found[:, -1]

    def predictions(self, scores: numpy.ndarray) -> list[Any]:
        return predictions(self.task, self.classes, scores)


def predictions(task: str, classes: list[str], scores: numpy.ndarray) -> list[Any]:
    """The answers for scores as `Model.score` gives them."""
    if task == "binary":
        return [Probability(score) for score in scores.tolist()]
    if task == "regression":
        return [Value(score) for score in scores.tolist()]
    best = scores.argmax(axis=1).tolist()
    rows = zip(best, scores.tolist(), strict=True)
    return [Label(classes[top], dict(zip(classes, row, strict=True))) for top, row in rows]


@cache
def model() -> Model:
    """The model of this process, loaded once and asked once: what cannot answer must not become ready."""
    loaded = Model(GRAPH, SCHEMA)
    loaded.predictions(loaded.score([tuple(SCHEMA.example().values())]))
    return loaded
