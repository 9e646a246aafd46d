import pytest
from sklearn.base import is_regressor

from << cookiecutter.__package >>.features import ESTIMATORS, build, frame, target
from << cookiecutter.__package >>.outcome import Bad
from << cookiecutter.__package >>.schema import SCHEMA


def test_the_model_never_sees_label_time_or_what_is_no_feature(synthetic, task):
    """Not even when such columns are in the table: planted ones are ignored, declared ones are left out."""
    table = synthetic(SCHEMA, rows=50)
    planted = table.append_column("leak", table[SCHEMA.label])
    seen = set(frame(SCHEMA, planted).columns)
    assert seen == {column.name for column in SCHEMA if column.feature}
    assert not seen & {SCHEMA.label, SCHEMA.time, "leak"}
    pipeline = build(SCHEMA, task, "linear", 0)
    named = {name for _, _, names in pipeline["features"].transformers for name in names}
    assert named == seen


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_learns_every_task(schemas, synthetic, task, name):
    schema, table = schemas[task], synthetic(schemas[task], rows=400)
    rows, truth = frame(schema, table), target(schema, task, table)
    few = {"xgboost": {"n_estimators": 15}, "hist_gradient_boosting": {"max_iter": 15}}
    pipeline = build(schema, task, name, seed=1, settings=few.get(name)).fit(rows, truth)
    assert is_regressor(pipeline) == (task == "regression")
    assert pipeline.score(rows, truth) > 0.6


def test_an_unknown_estimator_is_refused(schemas):
    with pytest.raises(Bad, match=r"train\.estimator is 'forest'"):
        build(schemas["binary"], "binary", "forest", 0)


@pytest.mark.parametrize(
    ("label", "task"),
    [
        ("binary", "multiclass"),
        ("binary", "regression"),
        ("multiclass", "binary"),
        ("multiclass", "regression"),
        ("regression", "binary"),
        ("regression", "multiclass"),
    ],
)
def test_a_label_that_does_not_fit_the_task_is_refused(schemas, synthetic, label, task):
    with pytest.raises(Bad, match=f"does not fit the task '{task}'"):
        target(schemas[label], task, synthetic(schemas[label], rows=5))


def test_an_unknown_task_and_a_missing_label_are_refused(schemas, synthetic):
    with pytest.raises(Bad, match="task is 'ranking'"):
        target(schemas["binary"], "ranking", synthetic(schemas["binary"], rows=5))
    with pytest.raises(Bad, match="label: 1 missing values"):
        target(schemas["binary"], "binary", {"label": [True, None]})
