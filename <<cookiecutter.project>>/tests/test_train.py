import hashlib
import json
import resource

import numpy
import pyarrow.parquet as parquet
import pytest
from threadpoolctl import threadpool_limits

from << cookiecutter.__package >> import train
from << cookiecutter.__package >>.features import build, frame, target
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.schema import SCHEMA

SETTINGS = {"n_estimators": 40, "early_stopping_rounds": 5, "max_depth": 4, "subsample": 0.8, "colsample_bytree": 0.5}


def parts(schema, task, synthetic, rows=2_000):
    tables = {name: synthetic(schema, rows=rows, seed=seed) for seed, name in enumerate(("train", "validation"))}
    return {name: (frame(schema, table), target(schema, task, table)) for name, table in tables.items()}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_early_stopping_keeps_the_best_rounds_alone(schemas, synthetic, task):
    data = parts(schemas[task], task, synthetic)
    pipeline = build(schemas[task], task, "xgboost", 1, SETTINGS | {"n_estimators": 200, "learning_rate": 0.5})
    rounds = train.boost(pipeline, "cpu", data)
    best = min(rounds, key=lambda line: line["validation"])["round"]
    assert len(rounds) == best + 5
    assert pipeline["estimator"].get_booster().num_boosted_rounds() == best


def test_the_same_bits_whatever_the_number_of_threads(schemas, synthetic):
    data = parts(schemas["binary"], "binary", synthetic, rows=10_000)

    def trained(threads: int) -> bytes:
        pipeline = build(schemas["binary"], "binary", "xgboost", 1, SETTINGS)
        with threadpool_limits(threads, "openmp"):
            train.boost(pipeline, "cpu", data)
        return bytes(pipeline["estimator"].get_booster().save_raw())

    one = trained(1)
    assert trained(1) == one
    assert trained(4) == one


def test_the_stage_repeats_itself_and_leaves_its_cost(workplace, synthetic, task):
    for seed, name in enumerate(("train", "validation")):
        parquet.write_table(synthetic(SCHEMA, rows=400, seed=seed), f"data/{name}.parquet")
    hashes = []
    for _ in range(2):
        train.main([])
        hashes.append(hashlib.sha256((workplace / "models/native/pipeline.joblib").read_bytes()).hexdigest())
    assert hashes[0] == hashes[1]
    cost = json.loads((workplace / "reports/training.json").read_text())
    assert cost["device"] == "cpu"
    assert cost["rows"] == 400
    assert 1 <= cost["best_round"] <= cost["rounds"] <= 30
    assert cost["peak_memory_mb"] <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = (workplace / "reports/rounds.csv").read_text().splitlines()
    assert lines[0] == f"round,train_{train.LOSS[task]},validation_{train.LOSS[task]}"
    assert len(lines) == cost["rounds"] + 1


def test_an_unknown_device_is_refused():
    with pytest.raises(Bad, match="the device is 'tpu'"):
        train.choose("tpu")


@pytest.mark.skipif(not train.obstacle("cuda"), reason="a GPU is here")
def test_cuda_without_a_gpu_fails_instead_of_falling_back():
    with pytest.raises(Unjudged, match="the device is cuda, but"):
        train.choose("cuda")
    assert train.choose("auto") == "cpu"


@pytest.mark.skipif(bool(train.obstacle("cuda")), reason="no GPU is here")
def test_cuda_trains_on_the_gpu(schemas, synthetic):
    assert train.choose("auto") == train.choose("cuda") == "cuda"
    pipeline = build(schemas["binary"], "binary", "xgboost", 1, SETTINGS)
    assert train.boost(pipeline, "cuda", parts(schemas["binary"], "binary", synthetic))


def test_training_that_ran_elsewhere_than_asked_is_refused(schemas, synthetic, monkeypatch):
    monkeypatch.setattr(train, "runs_on", lambda booster: "elsewhere")
    pipeline = build(schemas["binary"], "binary", "xgboost", 1, SETTINGS)
    with pytest.raises(Unjudged, match="asked to run on cpu and ran elsewhere"):
        train.boost(pipeline, "cpu", parts(schemas["binary"], "binary", synthetic, rows=200))


def test_a_class_that_training_never_sees_is_refused(schemas, monkeypatch):
    monkeypatch.setattr(train, "SCHEMA", schemas["multiclass"])
    train.present("multiclass", numpy.array([0, 1, 2]))
    with pytest.raises(Bad, match="the training window has no row of the class 'middle'"):
        train.present("multiclass", numpy.array([0, 2, 2]))
