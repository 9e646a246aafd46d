"""BentoML as its manual shows it, over the same graph: `bentoml serve bench.serving.plain:Plain`."""

from typing import Any

import bentoml

from bench.serving.rows import Row, columns
from << cookiecutter.__package >>.schema import SCHEMA


@bentoml.service
class Plain:
    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("models/model.onnx", options)

    @bentoml.api
    def predict(self, rows: list[Row]) -> list[Any]:
        return self.session.run(None, SCHEMA.feeds(columns(rows)))[0].tolist()
