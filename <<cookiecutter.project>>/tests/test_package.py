"""What `package` refuses, what it puts beside the Bento, and what goes into one; no Bento is built."""

import hashlib
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
import yaml

from ci import bento, package
from ci.registry import Version
from << cookiecutter.__package >>.columns import Category, Number
from << cookiecutter.__package >>.outcome import Bad, Unjudged

MODEL = "models/model.onnx"


def gate(verdict: str, md5: str = "a") -> None:
    result = {"verdict": verdict, "headline": f"{verdict}: auc", "remedy": "Mend it.", "files": {MODEL: md5}}
    Path("reports/gate.json").write_text(json.dumps(result))


def test_only_what_the_gate_has_passed_is_packaged(workplace) -> None:
    with pytest.raises(Unjudged, match="has not judged"):
        package.judged("a")
    gate("pass")
    assert package.judged("a") == "pass: auc"
    with pytest.raises(Unjudged, match="another model"):
        package.judged("b")
    gate("fail")
    with pytest.raises(Bad, match="refused this model: fail: auc") as refused:
        package.judged("a")
    assert refused.value.remedy == "Mend it."
    gate("inconclusive")
    with pytest.raises(Unjudged, match="could not judge"):
        package.judged("a")


def test_a_file_must_be_the_one_that_is_recorded(tmp_path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(Unjudged, match="is not here"):
        package.checked(path, "0", "")
    path.write_bytes(b"graph")
    package.checked(path, hashlib.md5(b"graph", usedforsecurity=False).hexdigest(), "")
    with pytest.raises(Unjudged, match=r"dvc\.lock says 0"):
        package.checked(path, "0", "")


def evaluated(schema, table: pyarrow.Table, task: str) -> None:
    """Write the test window and its predictions, as `split` and `evaluate` do."""
    parquet.write_table(table, "data/test.parquet")
    scores = {"score": pyarrow.array([n / table.num_rows for n in range(table.num_rows)])}
    if task == "multiclass":
        scores = {f"score_{name}": pyarrow.array([place / 10] * table.num_rows)
                  for place, name in enumerate(schema.classes())}  # fmt: skip
    parquet.write_table(pyarrow.table({name: table[name] for name in schema.key} | scores), "data/predictions.parquet")
    Path("params.yaml").write_text(yaml.safe_dump({"task": task}))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_rows_and_recorded_answers(workplace, monkeypatch, schemas, synthetic, task) -> None:
    schema = schemas[task]
    monkeypatch.setattr(package, "SCHEMA", schema)
    evaluated(schema, synthetic(schema, rows=2500), task)
    sample = package.sample()
    assert len(sample["rows"]) == len(sample["predictions"]) == 1000
    assert list(sample["rows"][0]) == [column.name for column in schema.features]
    for column in schema.features:
        kind = str if isinstance(column, Category) else int if getattr(column, "integer", False) else (float, bool)
        given = [row[column.name] for row in sample["rows"] if row[column.name] is not None]
        assert all(isinstance(value, kind) for value in given), column.name
    if task == "multiclass":
        low, middle, high = schema.classes()
        assert sample["predictions"][0] == {"label": high, "probabilities": {low: 0.0, middle: 0.1, high: 0.2}}
    else:
        name = "probability" if task == "binary" else "value"
        assert [sample["predictions"][0][name], sample["predictions"][-1][name]] == [0.0, 2499 / 2500]
    json.dumps(sample, allow_nan=False)


def test_predictions_of_other_rows_are_not_packaged(workplace, monkeypatch, schemas, synthetic) -> None:
    schema = schemas["binary"]
    monkeypatch.setattr(package, "SCHEMA", schema)
    with pytest.raises(Unjudged, match="is not here"):
        package.sample()
    table = synthetic(schema, rows=20)
    evaluated(schema, table, "binary")
    parquet.write_table(table.slice(1), "data/test.parquet")
    with pytest.raises(Unjudged, match="not about the rows"):
        package.sample()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_goes_into_a_bento(tmp_path) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(b"graph")
    stages = [tmp_path / "one", tmp_path / "two"]
    for stage in stages:
        stage.mkdir()
        requirements = bento.collect(stage, Version("12", "run", "source"), graph)
    one, two = map(contents, stages)
    assert one == two
    assert one["models/model.onnx"] == b"graph"
    assert one["models/version"] == b"12\n"
    folders = {Path(name).parts[0] for name in one}
    assert folders == {"service", "models", "requirements.txt", Number.__module__.partition(".")[0]}
    names = {line.partition("==")[0] for line in requirements.splitlines() if "==" in line}
    assert {"bentoml", "onnxruntime", "msgspec"} <= names
    assert not {"pandas", "scikit-learn", "xgboost", "mlflow", "mlflow-skinny", "pyarrow"} & names
    pins = [line for line in requirements.splitlines() if line and not line.startswith(" ")]
    assert all("==" in pin and pin.endswith("\\") for pin in pins)  # its hashes follow
