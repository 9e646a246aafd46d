import numpy
import pytest

from << cookiecutter.__package >> import graph as module
from << cookiecutter.__package >>.export import convert
from << cookiecutter.__package >>.features import build, frame, target
from << cookiecutter.__package >>.graph import Graph
from << cookiecutter.__package >>.outcome import Unjudged


@pytest.fixture
def graphs(schemas, synthetic, tmp_path):
    """Task -> the graph of a linear model."""
    made = {}
    for task, schema in schemas.items():
        table = synthetic(schema, rows=200)
        pipeline = build(schema, task, "linear", 0).fit(frame(schema, table), target(schema, task, table))
        path = tmp_path / f"{task}.onnx"
        path.write_bytes(convert(pipeline, schema, task).SerializeToString())
        made[task] = Graph(path, threads=1)
    return made


@pytest.mark.parametrize(("task", "shape"), [("binary", (30,)), ("multiclass", (30, 3)), ("regression", (30,))])
def test_scores_have_the_shape_of_the_task(graphs, schemas, synthetic, task, shape):
    table = synthetic(schemas[task], rows=30)
    scores = graphs[task].score(table)
    assert scores.shape == shape
    numpy.testing.assert_array_equal(graphs[task].score(table.to_pandas()), scores)
    numpy.testing.assert_array_equal(graphs[task].score(table.to_pydict()), scores)


def test_scores_rise_with_the_label(graphs, schemas, synthetic):
    table = synthetic(schemas["binary"], rows=300, seed=5)
    late = schemas["binary"].truth(table["label"]) == 1
    scores = graphs["binary"].score(table)
    assert scores[late].mean() > 0.5 > scores[~late].mean()


def test_batches_change_nothing_but_the_last_digit(graphs, schemas, synthetic, monkeypatch):
    table = synthetic(schemas["multiclass"], rows=50)
    whole = graphs["multiclass"].score(table)
    monkeypatch.setattr(module, "BATCH", 7)
    numpy.testing.assert_allclose(graphs["multiclass"].score(table), whole, atol=1e-6)


def test_no_rows_give_no_scores(graphs, schemas, synthetic):
    assert graphs["binary"].score(synthetic(schemas["binary"], rows=1).slice(0, 0)).shape == (0,)


def test_rows_without_a_column_of_the_graph_are_refused(graphs, schemas, synthetic):
    with pytest.raises(Unjudged, match=r"lack 1 column\(s\) that the model needs: size"):
        graphs["binary"].score(synthetic(schemas["binary"], rows=5).drop_columns(["size"]))


@pytest.mark.parametrize("content", [None, b"", b"no graph"])
def test_a_file_that_is_no_graph_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unjudged, match="is not a usable model graph"):
        Graph(path)
