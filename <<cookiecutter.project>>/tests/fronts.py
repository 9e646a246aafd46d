"""What the tests of the service share: its application over a small graph and a schema of the tests' own."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from prometheus_client import CollectorRegistry

import service.front
import service.model
import service.service
from service.front import Front
from service.service import Predictor
from << cookiecutter.__package >>.columns import Boolean, Category, Number, Schema, Time

LABELS = {
    "binary": Boolean(name="label", feature=False),
    "multiclass": Category(name="label", values=("low", "middle", "high"), feature=False),
    "regression": Number(name="label", minimum=0, maximum=200, feature=False),
}
ROW = {"colour": "red", "city": "Ulm", "size": 20.5, "count": 3, "wind": 1.5, "wet": True}
SECRET = "SECRET-4711"  # noqa: S105


def schema(task: str) -> Schema:
    return Schema(
        columns=(
            Category(name="colour", values=("red", "blue"), example="red"),
            Category(name="city", values=("Ulm",), open=True, missing=0.1, example="Ulm"),
            Number(name="size", unit="m", minimum=10, maximum=100, example=20.5),
            Number(name="count", minimum=0, maximum=9, integer=True, example=3),
            Number(name="wind", missing=0.5, example=None),
            Boolean(name="wet", example=True),
            Time(name="at"),
            LABELS[task],
        ),
        key=("colour", "at"),
        time="at",
        label="label",
    )


def graph(task: str, path: Path) -> None:
    """An ONNX graph of the contract: P(true), the value or the largest class grow with `size`."""
    columns = schema(task).features
    kinds = [TensorProto.STRING if isinstance(column, Category) else TensorProto.FLOAT for column in columns]
    inputs = [helper.make_tensor_value_info(c.name, k, [None, 1]) for c, k in zip(columns, kinds, strict=True)]
    weights = {"binary": [[-0.05, 0.05]], "multiclass": [[0.01, 0.02, 0.03]], "regression": [[2.0]]}[task]
    name, width = ("prediction" if task == "regression" else "probabilities"), len(weights[0])
    nodes = [helper.make_node("MatMul", ["size", "weights"], ["scores" if width > 1 else name])]
    nodes += [helper.make_node("Softmax", ["scores"], [name])] if width > 1 else []
    initial = [helper.make_tensor("weights", TensorProto.FLOAT, [1, width], weights[0])]
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
    model = helper.make_model(
        helper.make_graph(nodes, "small", inputs, [output], initial), opset_imports=[helper.make_opsetid("", 21)]
    )
    model.ir_version = 10
    about = {"task": task, "classes": json.dumps(schema(task).classes()), "label": "label"}
    helper.set_model_props(model, about)
    onnx.save(model, path)


@contextmanager
def made(task: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Front]:
    """The application of version 7, not yet started, over the graph of a task."""
    graph(task, folder / "model.onnx")
    patch.setenv("MODEL_VERSION", "7")
    patch.setattr(service.model, "GRAPH", folder / "model.onnx")
    patch.setattr(service.front, "REGISTRY", CollectorRegistry())
    for module in (service.front, service.model, service.service):
        patch.setattr(module, "SCHEMA", schema(task))
    service.model.model.cache_clear()
    yield Predictor.to_asgi()
    service.model.model.cache_clear()


async def called(front: Front, path: str = "/predict", method: str = "POST", parts: list | None = None):
    """One request without a server in between: its code, headers and body. A part of None is a hung-up caller."""
    parts = [json.dumps({"rows": [ROW]}).encode()] if parts is None else list(parts)
    sent = []

    async def receive():
        if not parts:
            await asyncio.sleep(3600)
        part = parts.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": not part.endswith(b"}")}

    async def send(message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": [(b"content-type", b"application/json")]}
    await front(scope, receive, send)
    if not sent:
        return None
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]
