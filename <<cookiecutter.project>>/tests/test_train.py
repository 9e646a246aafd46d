import hashlib
import json
import resource
from importlib.util import find_spec

import pyarrow.parquet as parquet
import pytest
import yaml
from threadpoolctl import threadpool_limits
from trainings import content, parts, train

from << cookiecutter.__package >>.features import build
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.schema import SCHEMA
from << cookiecutter.__package >>.train import boost, checkpoint, device, distributed, stage
from << cookiecutter.__package >>.train.distributed import Workers
from << cookiecutter.__package >>.train.rounds import LOSS


@pytest.fixture
def shelf():
    """Of a training that nobody interrupts."""
    return checkpoint.Shelf("0" * 64, seconds=1e9)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_early_stopping_keeps_the_best_rounds_alone(tmp_path, schemas, synthetic, shelf, task):
    data = parts(tmp_path, schemas[task], task, synthetic)
    pipeline, rounds = train(data, shelf, n_estimators=200, learning_rate=0.5)
    best = min(rounds, key=lambda line: line["validation"])["round"]
    assert len(rounds) == best + 5
    assert pipeline["estimator"].get_booster().num_boosted_rounds() == best


@pytest.mark.parametrize("mode", ["in_memory", "quantile", "external"])
def test_the_same_bits_whatever_the_number_of_threads(workplace, schemas, synthetic, shelf, mode):
    data = parts(workplace / "data", schemas["binary"], "binary", synthetic, rows=3_000)

    def trained(threads: int) -> str:
        with threadpool_limits(threads, "openmp"):
            return content(train(data, shelf, mode=mode, batch=1_000)[0])

    one = trained(1)
    assert trained(1) == one
    assert trained(4) == one


def test_the_stage_repeats_itself_and_leaves_its_cost(workplace, synthetic, task):
    for seed, name in enumerate(("train", "validation")):
        parquet.write_table(synthetic(SCHEMA, rows=400, seed=seed), f"data/{name}.parquet")
    hashes = []
    for _ in range(2):
        stage.main([])
        hashes.append(hashlib.sha256((workplace / "models/native/pipeline.joblib").read_bytes()).hexdigest())
    assert hashes[0] == hashes[1]
    cost = json.loads((workplace / "reports/training.json").read_text())
    assert cost["device"] == "cpu"
    assert cost["rows"] == 400
    assert 1 <= cost["best_round"] <= cost["rounds"] <= 30
    assert cost["peak_memory_mb"] <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = (workplace / "reports/rounds.csv").read_text().splitlines()
    assert lines[0] == f"round,train_{LOSS[task]},validation_{LOSS[task]}"
    assert len(lines) == cost["rounds"] + 1


def test_an_unknown_device_is_refused():
    with pytest.raises(Bad, match="the device is 'tpu'"):
        device.choose("tpu")


@pytest.mark.skipif(not device.obstacle("cuda"), reason="a GPU is here")
def test_cuda_without_a_gpu_fails_instead_of_falling_back():
    with pytest.raises(Unjudged, match="the device is cuda, but"):
        device.choose("cuda")
    assert device.choose("auto") == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(bool(device.obstacle("cuda")), reason="no GPU is here")
@pytest.mark.parametrize("mode", ["in_memory", "quantile", "external"])
def test_cuda_trains_on_the_gpu(workplace, schemas, synthetic, shelf, mode):
    assert device.choose("auto") == device.choose("cuda") == "cuda"
    data = parts(workplace / "data", schemas["binary"], "binary", synthetic)
    losses = {on: train(data, shelf, on, mode)[1][-1]["validation"] for on in ("cpu", "cuda")}
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.1)


def test_training_that_ran_elsewhere_than_asked_is_refused(tmp_path, schemas, synthetic, shelf, monkeypatch):
    monkeypatch.setattr(device, "runs_on", lambda booster: "elsewhere")
    with pytest.raises(Unjudged, match="asked to run on cpu and ran elsewhere"):
        train(parts(tmp_path, schemas["binary"], "binary", synthetic, rows=200), shelf)


def test_a_class_that_training_never_sees_is_refused(tmp_path, schemas, synthetic):
    data = parts(tmp_path, schemas["multiclass"], "multiclass", synthetic)["train"]
    data.present()
    table = parquet.read_table(data.path)
    parquet.write_table(table.filter([label != "middle" for label in table["label"].to_pylist()]), data.path)
    with pytest.raises(Bad, match="the training window has no row of the class 'middle'"):
        data.present()


def test_a_metric_that_the_report_does_not_know_is_refused(tmp_path, schemas, synthetic, shelf):
    with pytest.raises(Bad, match="eval_metric is 'auc'"):
        train(parts(tmp_path, schemas["binary"], "binary", synthetic, rows=200), shelf, eval_metric="auc")


def test_workers_are_asked_for_by_params_or_by_the_scheduler(monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER", raising=False)
    assert Workers.asked({}) is Workers.asked({"workers": 1}) is None
    assert Workers.asked({"workers": 3}) == Workers(3)
    monkeypatch.setenv("DASK_SCHEDULER", "tcp://127.0.0.1:8786")
    assert Workers.asked({}) == Workers(1, "tcp://127.0.0.1:8786")
    with pytest.raises(Bad, match=r"train\.workers is 0"):
        Workers.asked({"workers": 0})


@pytest.mark.skipif(bool(find_spec("distributed")), reason="Dask is here")
def test_workers_without_dask_are_refused(tmp_path, schemas, synthetic):
    data = parts(tmp_path, schemas["binary"], "binary", synthetic, rows=50)
    with pytest.raises(Unjudged, match="training on workers needs Dask"):
        distributed.boost(build(schemas["binary"], "binary", "xgboost", 1), "binary", 2, "cpu", data, Workers(2))


@pytest.mark.parametrize(("error", "told"), [(MemoryError(), True), (boost.xgboost.core.XGBoostError("odd"), False)])
def test_a_lack_of_memory_is_told_from_a_fault(tmp_path, schemas, synthetic, shelf, monkeypatch, error, told):
    def fail(*given):
        raise error

    monkeypatch.setattr(boost, "step", fail)
    with pytest.raises(Unjudged if told else type(error), match="out of memory on this machine" if told else "odd"):
        train(parts(tmp_path, schemas["binary"], "binary", synthetic, rows=200), shelf)


def test_estimators_without_rounds_train_as_ever_and_say_nothing_of_checkpoints(workplace, synthetic, capsys):
    for seed, name in enumerate(("train", "validation")):
        parquet.write_table(synthetic(SCHEMA, rows=400, seed=seed), f"data/{name}.parquet")
    params = yaml.safe_load((workplace / "params.yaml").read_text())
    params["train"]["estimator"] = "linear"
    (workplace / "params.yaml").write_text(yaml.safe_dump(params))
    stage.main([])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0].startswith("train: linear on cpu, 400 rows")
    params["train"] |= {"memory": "external"}
    (workplace / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(Bad, match=r"train\.memory is 'external', and linear trains"):
        stage.main([])
