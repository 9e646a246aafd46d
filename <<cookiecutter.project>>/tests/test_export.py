import hashlib
import json

import joblib
import pyarrow.parquet as parquet
import pytest

from << cookiecutter.__package >> import export
from << cookiecutter.__package >>.features import ESTIMATORS, build, frame, target
from << cookiecutter.__package >>.graph import Graph
from << cookiecutter.__package >>.outcome import Bad
from << cookiecutter.__package >>.schema import SCHEMA

TASKS = ("binary", "multiclass", "regression")
FEW = {"xgboost": {"n_estimators": 15}, "hist_gradient_boosting": {"max_iter": 15}}  # trees, for speed


def fitted(schema, task, name, table, seed=1):
    return build(schema, task, name, seed, FEW.get(name)).fit(frame(schema, table), target(schema, task, table))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_graph_is_the_pipeline_on_seen_unseen_and_missing(schemas, synthetic, tmp_path, task, name):
    schema, table = schemas[task], synthetic(schemas[task], rows=500)
    pipeline = fitted(schema, task, name, table)
    model = export.convert(pipeline, schema, task)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    graph = Graph(path)
    result = export.parity(pipeline, graph, schema, synthetic(schema, rows=300, seed=2))
    assert result["rows"] == 300 * 7  # as they are, four columns missing, one unseen, all missing
    assert result["largest_difference"] <= export.TOLERANCE
    assert (graph.task, graph.classes, graph.label) == (task, schema.classes(), "label")
    assert graph.inputs == {"colour": True, "size": False, "count": False, "old": False}
    assert graph.output == ("prediction" if task == "regression" else "probabilities")
    assert len(graph.session.get_outputs()) == 1
    again = export.convert(fitted(schema, task, name, table), schema, task)
    assert again.SerializeToString(deterministic=True) == path.read_bytes()


@pytest.fixture
def native(workplace, synthetic, task):
    """A trained pipeline and a test set where the stage looks for them."""
    (workplace / "models/native").mkdir()
    table = synthetic(SCHEMA, rows=300)
    joblib.dump(fitted(SCHEMA, task, "xgboost", table), export.NATIVE)
    parquet.write_table(synthetic(SCHEMA, rows=200, seed=3), "data/test.parquet")
    return table


def test_the_stage_writes_graph_and_parity(workplace, native):
    export.main([])
    first = hashlib.sha256(export.MODEL.read_bytes()).hexdigest()
    assert json.loads(export.PARITY.read_text())["largest_difference"] <= export.TOLERANCE
    export.main([])
    assert hashlib.sha256(export.MODEL.read_bytes()).hexdigest() == first


def test_a_graph_that_is_not_the_pipeline_is_refused(workplace, native, task, monkeypatch):
    other = fitted(SCHEMA, task, "linear", native)
    right = export.convert
    monkeypatch.setattr(export, "convert", lambda pipeline, schema, task: right(other, schema, task))
    with pytest.raises(Bad, match="the ONNX graph differs from the pipeline by"):
        export.main([])
