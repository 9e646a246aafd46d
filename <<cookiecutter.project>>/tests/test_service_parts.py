"""What the service is made of: what it may import, its limits, and the request type of this project's own schema."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import service
from service.limits import Limits
from service.metrics import buckets
from service.request import Requests
from << cookiecutter.__package >>.columns import Number, Schema
from << cookiecutter.__package >>.schema import SCHEMA


def test_buckets_of_a_number_without_range() -> None:
    bounds = buckets("regression", Number(name="label", feature=False))
    assert bounds == sorted(bounds)
    assert bounds[0] == -bounds[-1]


def test_limits_are_read_from_the_environment() -> None:
    assert Limits.read({"SERVICE_ROWS": "5", "OTHER": "x"}) == Limits(rows=5)
    for wrong in ("0", "-1", "many", ""):
        with pytest.raises(ValueError, match="SERVICE_ROWS"):
            Limits.read({"SERVICE_ROWS": wrong})


def test_the_whole_schema_of_this_project_is_served() -> None:
    body = json.dumps({"rows": [SCHEMA.example()]}).encode()
    assert Requests(SCHEMA, Limits()).decode(body) == [tuple(SCHEMA.example().values())]


def test_nothing_of_training_is_imported() -> None:
    unwanted = {"pandas", "sklearn", "xgboost", "mlflow", "pyarrow", "joblib", "onnx", "skl2onnx"}
    code = f"import sys, service.__main__; print(*({unwanted!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_the_service_reads_only_the_schema() -> None:
    package = Schema.__module__.partition(".")[0]
    allowed = {"numpy", "onnxruntime", "msgspec", "bentoml", "prometheus_client", "uvicorn", "service"}
    for path in Path(service.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
                for name in names:
                    root = name.partition(".")[0]
                    fine = root in (sys.stdlib_module_names | allowed) - {"pickle"}
                    assert fine or name in (f"{package}.schema", f"{package}.columns"), f"{path.name} imports {name}"
