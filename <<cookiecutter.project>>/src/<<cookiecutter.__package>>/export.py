"""The fitted pipeline as the one ONNX graph that serving runs, preprocessing inside, proved equal to the pipeline.

Inputs: one for each feature of the schema, (n, 1), string ("" for missing) or float32 (NaN for missing). One output:
`probabilities` (n, K) in the order of the schema's classes, or `prediction` (n, 1).
"""

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy
import onnx
import pyarrow.parquet as parquet
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline

from .columns import Category, Schema
from .converters import register
from .features import frame
from .graph import Graph
from .outcome import Bad, run
from .schema import SCHEMA

NATIVE = Path("models/native/pipeline.joblib")
MODEL = Path("models/model.onnx")
PARITY = Path("reports/export.json")
OPSETS = {"": 21, "ai.onnx.ml": 3}
TOLERANCE = 1e-5  # of a probability, or relative to a prediction's size where that is above 1
PLANTED = 1_000  # rows of the test set that also get unseen and missing values
UNSEEN = "\N{WHITE SQUARE} never seen"


def convert(pipeline: Pipeline, schema: Schema, task: str) -> onnx.ModelProto:
    """The graph of a fitted pipeline, the same bytes every time."""
    register(type(pipeline["estimator"]))
    inputs = [
        (column.name, (StringTensorType if isinstance(column, Category) else FloatTensorType)([None, 1]))
        for column in schema.features
    ]
    options = None if task == "regression" else {id(pipeline): {"zipmap": False}}
    whole = skl2onnx.convert_sklearn(pipeline, "model", inputs, options=options, target_opset=OPSETS)
    wanted, called = (whole.graph.output[-1].name, "prediction" if task == "regression" else "probabilities")
    model = select_model_inputs_outputs(whole, outputs=[wanted])
    for node in model.graph.node:
        node.output[:] = [called if name == wanted else name for name in node.output]
    width = 1 if task == "regression" else len(schema.classes())
    output = onnx.helper.make_tensor_value_info(called, onnx.TensorProto.FLOAT, [None, width])
    del model.graph.output[:]
    model.graph.output.append(output)
    model.graph.name = "model"
    imports = sorted(model.opset_import, key=lambda one: one.domain)  # skl2onnx leaves them in the order of a set
    del model.opset_import[:]
    model.opset_import.extend(imports)
    about = {"task": task, "classes": json.dumps(schema.classes()), "label": schema.label}
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return model


def planted(schema: Schema, feeds: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """The rows, and after them the first ones again with each feature in turn missing, unseen, and all missing."""
    few = {name: array[:PLANTED] for name, array in feeds.items()}
    blocks = [feeds]
    gone: dict[str, numpy.ndarray] = {}
    for column in schema.features:
        values = few[column.name]
        text = isinstance(column, Category)
        gone[column.name] = numpy.full_like(values, "" if text else numpy.nan)
        blocks.append({**few, column.name: gone[column.name]})
        if text:
            blocks.append({**few, column.name: numpy.full_like(values, UNSEEN)})
    blocks.append(gone)
    return {name: numpy.concatenate([block[name] for block in blocks]) for name in feeds}


def parity(pipeline: Pipeline, graph: Graph, schema: Schema, rows: Any) -> dict[str, Any]:
    """The largest difference between graph and pipeline over the rows and the planted ones; judged by `main`."""
    feeds = planted(schema, schema.feeds(rows))
    native_rows = frame(schema, {name: array[:, 0] for name, array in feeds.items()})
    estimated = pipeline.predict(native_rows) if is_regressor(pipeline) else pipeline.predict_proba(native_rows)
    native = numpy.asarray(estimated, dtype=numpy.float64).reshape(len(native_rows), -1)
    answered = graph.run(feeds)
    if answered.shape != native.shape:
        raise Bad(f"the graph answers in shape {answered.shape}, the pipeline in {native.shape}", "Mend the converter.")
    difference = numpy.abs(answered - native) / numpy.maximum(1, numpy.abs(native))
    # A NaN on either side is a difference too, and must not vanish in a maximum.
    largest = float(numpy.where(numpy.isfinite(difference), difference, numpy.inf).max())
    return {"rows": len(native), "largest_difference": float(f"{largest:.3g}"), "tolerance": TOLERANCE}


def main(arguments: list[str]) -> None:
    pipeline = joblib.load(NATIVE)
    task = "regression" if is_regressor(pipeline) else "binary" if len(SCHEMA.classes()) == 2 else "multiclass"
    MODEL.write_bytes(convert(pipeline, SCHEMA, task).SerializeToString(deterministic=True))
    result = parity(pipeline, Graph(MODEL), SCHEMA, parquet.read_table("data/test.parquet"))
    PARITY.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    size = MODEL.stat().st_size / 1024**2
    print(f"export: {size:.1f} MB; differs by {result['largest_difference']:g} at most on {result['rows']:,} rows")
    if not result["largest_difference"] <= TOLERANCE:
        what = f"the ONNX graph differs from the pipeline by {result['largest_difference']:g}, more than {TOLERANCE:g}"
        raise Bad(what, "An estimator or transformer converts inexactly: change it in features.py or update skl2onnx.")


if __name__ == "__main__":
    sys.exit(run("export", main, sys.argv[1:]))
