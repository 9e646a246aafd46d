"""Scores rows with the ONNX graph that serving uses: onnxruntime and NumPy, nothing from training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import onnxruntime

from .columns import floats, texts
from .outcome import Unjudged

BATCH = 65_536  # rows; bounds the memory that the one-hot columns inside the graph take


class Graph:
    """One exported model. Its inputs, task, classes and label are read from the file, never from today's schema,
    so that an older model can be scored on newer rows as long as they still have its columns.

    `threads`: of onnxruntime, 0 for one for each core. Raises Unjudged where the file is missing or not such a graph.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            about = self.session.get_modelmeta().custom_metadata_map
            self.task: str = about["task"]
            self.classes: tuple[str, ...] = tuple(json.loads(about["classes"]))
            self.label: str = about["label"]
        except Exception as error:  # onnxruntime's own errors share no base class
            what = f"{path} is not a usable model graph: {str(error).splitlines()[0]}"
            raise Unjudged(what, "Pull it with `make data ARGS=models/model.onnx`, or run `make train`.") from error
        self.inputs = {entry.name: entry.type == "tensor(string)" for entry in self.session.get_inputs()}
        self.output: str = self.session.get_outputs()[0].name

    def feeds(self, columns: Mapping[str, Any]) -> dict[str, numpy.ndarray]:
        """The inputs for columns of n values each: arrays (n, 1); raises Unjudged where a column is absent."""
        names = getattr(columns, "column_names", columns)
        absent = [name for name in self.inputs if name not in names]
        if absent:
            what = f"the rows lack {len(absent)} column(s) that the model needs: {', '.join(absent)}"
            raise Unjudged(what, "Score it with rows that have them.")
        return {name: (texts if text else floats)(columns[name]).reshape(-1, 1) for name, text in self.inputs.items()}

    def run(self, feeds: Mapping[str, numpy.ndarray]) -> numpy.ndarray:
        """The graph's one output: probabilities (n, K), or predictions (n, 1), float32."""
        rows = len(next(iter(feeds.values())))
        batches = [
            self.session.run([self.output], {name: array[at : at + BATCH] for name, array in feeds.items()})[0]
            for at in range(0, max(rows, 1), BATCH)
        ]
        return numpy.concatenate(batches)

    def score(self, columns: Mapping[str, Any]) -> numpy.ndarray:
        """What metrics judge: (n,) for binary, the probability of the second class; (n, K) probabilities for
        multiclass; (n,) for regression, in the label's unit. `columns`: a pyarrow Table, a DataFrame or a dict.
        """
        output = self.run(self.feeds(columns))
        return output[:, -1] if self.task in ("binary", "regression") else output
