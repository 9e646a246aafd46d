"""`train` on the real data: what it leaves behind, what makes it train again, and how it fails."""

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

CACHED = ("data/dataset.parquet", "data/train.parquet", "data/test.parquet", "models/native", "models/model.onnx")
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


def hashes(project: Path) -> dict[str, str]:
    """Path -> DVC hash of every output in `dvc.lock`."""
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))


def package(project: Path) -> Path:
    return next((project / "src").iterdir())


def runs(project: Path) -> list[dict[str, str]]:
    """The tags of every finished MLflow run, the newest last."""
    with sqlite3.connect(project / "mlflow.db") as records:
        found = records.execute("select run_uuid from runs where status = 'FINISHED' order by start_time").fetchall()
        tags = "select key, value from tags where run_uuid = ?"
        return [dict(records.execute(tags, run).fetchall()) for run in found]


def test_what_a_training_leaves_behind(trained):
    metrics = json.loads((trained / "reports" / "metrics.json").read_text())
    assert 0.66 < metrics["auc"] < 0.8
    for baseline in metrics["baseline"].values():
        assert metrics["auc"] > baseline["auc"]
        assert metrics["log_loss"] < baseline["log_loss"]
    parity = json.loads((trained / "reports" / "export.json").read_text())
    assert parity["largest_difference"] <= parity["tolerance"] == 1e-5
    assert parity["rows"] > metrics["rows"] > 80_000
    cost = json.loads((trained / "reports" / "training.json").read_text())
    assert cost["rounds"] > cost["best_round"] > 1, "training should have stopped early"
    assert {"JFK", "LGA", "EWR"} == set(json.loads((trained / "reports" / "slices.json").read_text())["origin"])
    dirty = subprocess.run(["git", "status", "--porcelain"], cwd=trained, capture_output=True, text=True, check=True)
    assert dirty.stdout == ""


def test_mlflow_has_the_run(trained):
    (tags,) = runs(trained)
    recorded = hashes(trained)
    assert tags["model_md5"] == recorded["models/model.onnx"]
    assert tags["data_md5"] == recorded["data/dataset.parquet"]
    assert {"git_sha", "git_dirty", "lock_sha256", "raw.flights.csv", "raw.weather.csv"} <= set(tags)
    with sqlite3.connect(trained / "mlflow.db") as records:
        params = dict(records.execute("select key, value from params").fetchall())
        latest = dict(records.execute("select key, value from latest_metrics").fetchall())
        steps = records.execute("select max(step) from metrics where key = 'validation_logloss'").fetchone()[0]
    assert params["train.xgboost.max_depth"] == "4"
    assert latest["auc"] == json.loads((trained / "reports" / "metrics.json").read_text())["auc"]
    assert steps == json.loads((trained / "reports" / "training.json").read_text())["rounds"]
    (artifacts,) = (trained / "mlartifacts").glob("*/*/artifacts")
    assert (artifacts / "model" / "model.onnx").read_bytes() == (trained / "models" / "model.onnx").read_bytes()
    described = yaml.safe_load((artifacts / "model" / "MLmodel").read_text())
    assert "carrier" in described["signature"]["inputs"]
    assert "probabilities" in described["signature"]["outputs"]
    for plot in ("rounds.svg", "calibration.svg"):
        drawn = ElementTree.parse(artifacts / "plots" / plot).iter("{http://www.w3.org/2000/svg}polyline")  # noqa: S314
        assert len(list(drawn)) == 2
    for kept in ("reports/metrics.json", "reports/check.html", "params.yaml", "dvc.lock"):
        assert (artifacts / kept).stat().st_size > 0


def test_with_nothing_changed_nothing_runs(trained, word):
    before = (trained / "dvc.lock").read_bytes()
    done = word(trained, "train", code=0)
    assert "Running stage" not in done.stdout
    assert "nothing to train" in done.stdout
    assert (trained / "dvc.lock").read_bytes() == before
    assert len(runs(trained)) == 1


def test_a_repeated_training_gives_the_same_bits(sample, word):
    before = hashes(sample)
    (sample / "dvc.lock").unlink()
    shutil.rmtree(sample / ".dvc" / "cache" / "runs")
    done = word(sample, "train", env={"OMP_NUM_THREADS": "1", "DEVICE": "cpu"}, code=0)
    assert "Running stage 'train'" in done.stdout
    after = hashes(sample)
    differing = {path for path in before if before[path] != after[path]}
    assert differing <= {"reports/training.json", "reports/check.html", "reports/check.json"}
    assert set(CACHED) <= set(before) - differing
    assert len(runs(sample)) == 1, "the same model with the same metrics is the same run"


def test_the_outputs_are_pushed(trained, word):
    word(trained, "train", "--push", code=0)
    config = (trained / ".dvc" / "config").read_text()
    (url,) = (line.split("=")[1].strip() for line in config.splitlines() if line.strip().startswith("url"))
    remote = (trained / ".dvc" / url).resolve()
    md5 = hashes(trained)["models/model.onnx"]
    assert (remote / "files" / "md5" / md5[:2] / md5[2:]).exists()


def test_an_unreachable_mlflow_loses_no_training(trained, word):
    edit(trained / "params.yaml", 'test: ["2013-10-01", "2014-01-02"]', 'test: ["2013-10-01", "2013-12-01"]')
    done = word(trained, "train", env={"MLFLOW_TRACKING_URI": NOWHERE}, code=2)
    assert "Running stage 'evaluate'" in done.stdout
    assert "Running stage 'train'" not in done.stdout
    assert f"the run is not logged: MLflow at {NOWHERE} does not answer" in done.stderr
    assert "it will not train again" in done.stderr
    before = (trained / "dvc.lock").read_bytes()
    done = word(trained, "train", code=0)
    assert "Running stage" not in done.stdout
    assert "MLflow run" in done.stdout
    assert (trained / "dvc.lock").read_bytes() == before
    first, second = runs(trained)
    assert first["model_md5"] == second["model_md5"]
    assert second["metrics_md5"] == hashes(trained)["reports/metrics.json"]


@pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="a GPU is here")
def test_cuda_without_a_gpu_fails_and_trains_nothing(trained, word):
    edit(trained / "params.yaml", "device: auto", "device: cuda")
    before = (trained / "dvc.lock").read_bytes()
    done = word(trained, "train", code=2)
    assert "train: the device is cuda, but" in done.stdout
    assert "DEVICE=cpu" in done.stdout
    assert "round 40" not in done.stdout
    assert (trained / "dvc.lock").read_bytes() == before


def test_bad_data_ends_with_1_and_leaves_the_model(trained, word):
    edit(trained / "gates.yaml", "\n  minimum_rows: 1000\n", "\n  minimum_rows: 1000000\n")
    model = (trained / "models" / "model.onnx").read_bytes()
    done = word(trained, "train", code=1)
    assert "Running stage 'split'" not in done.stdout
    assert (trained / "models" / "model.onnx").read_bytes() == model


def test_an_empty_window_ends_with_1(trained, word):
    edit(trained / "params.yaml", 'test: ["2013-10-01", "2014-01-02"]', 'test: ["2014-10-01", "2015-01-01"]')
    done = word(trained, "train", code=1)
    assert "split.test holds no rows: the data reaches from 2013-01-01" in done.stdout


def test_a_crashed_stage_ends_with_2(trained, word):
    edit(package(trained) / "evaluate.py", "    graph = Graph(MODEL)\n", "    graph = Graph(None.path)\n")
    done = word(trained, "train", code=2)
    assert "evaluate: crashed with AttributeError" in done.stdout


def test_shuffled_labels_train_a_model_that_knows_nothing(trained, word):
    edit(
        package(trained) / "split.py",
        'table = parquet.read_table(DATA / "dataset.parquet")\n',
        'table = parquet.read_table(DATA / "dataset.parquet")\n'
        "    order = numpy.random.default_rng(0).permutation(table.num_rows)\n"
        "    place = table.column_names.index(SCHEMA.label)\n"
        "    table = table.set_column(place, SCHEMA.label, table[SCHEMA.label].take(order))\n",
    )
    word(trained, "train", code=0)
    metrics = json.loads((trained / "reports" / "metrics.json").read_text())
    assert 0.48 < metrics["auc"] < 0.52
