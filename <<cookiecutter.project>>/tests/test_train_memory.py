"""Rows that do not fit: what is chosen, and that every way of holding them gives the same model."""

import numpy
import pyarrow.parquet as parquet
import pytest
import xgboost
from sklearn.preprocessing import StandardScaler
from trainings import parts, train

from << cookiecutter.__package >>.features import build
from << cookiecutter.__package >>.host import GB
from << cookiecutter.__package >>.outcome import Bad, Unjudged
from << cookiecutter.__package >>.train import matrix, memory
from << cookiecutter.__package >>.train.checkpoint import Shelf
from << cookiecutter.__package >>.train.memory import MODES, Size, choose
from << cookiecutter.__package >>.train.rows import learn

# Rows of 100 columns: 10 GiB for XGBoost's index and its gradients, some 20 GiB more for the matrix.
LARGE = Size(rows=17_000_000, features=20, columns=100)


@pytest.mark.parametrize(
    ("host", "gpu", "device", "mode"),
    [
        (64, None, "cpu", "in_memory"),
        (20, None, "cpu", "quantile"),
        (4, None, "cpu", "external"),
        (64, 80, "cuda", "in_memory"),
        (20, 80, "cuda", "quantile"),
        (64, 2, "cuda", "external"),
        (64, None, "cuda", "in_memory"),
    ],
)
def test_the_first_mode_that_fits_is_chosen_and_said(host, gpu, device, mode):
    found, said = choose("auto", LARGE, device, lambda: host * GB, lambda: gpu * GB if gpu else None)
    assert found == mode
    assert said.startswith(f"memory {mode}: 17,000,000 rows of 100 columns take about ")
    assert f"of {host}.0 GiB free" in said
    assert (f"of {gpu}.0 GiB free on the GPU" in said) == (gpu is not None and device == "cuda")


@pytest.mark.parametrize("mode", MODES)
def test_what_is_asked_for_is_done(mode):
    assert choose(mode, LARGE, "cpu", lambda: GB)[0] == mode


def test_an_unknown_mode_is_refused():
    with pytest.raises(Bad, match=r"train\.memory is 'disk'"):
        choose("disk", LARGE, "cpu", lambda: GB)


def test_this_machine_says_what_is_free():
    assert 0 < memory.free_host() < 2**50


def test_pages_that_the_disk_does_not_hold_are_refused(tmp_path):
    memory.room_on_disk(tmp_path, Size(1_000, 5, 10))
    with pytest.raises(Unjudged, match="training from disk takes about"):
        memory.room_on_disk(tmp_path, Size(10**12, 20, 1_000))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_mode_ends_in_the_same_losses(workplace, schemas, synthetic, task):
    """To 2 %: quantiles of batches are merged from sketches."""
    data = parts(workplace / "data", schemas[task], task, synthetic, rows=1_000)
    found = {mode: train(data, Shelf("0" * 64, seconds=1e9), mode=mode, batch=300)[1] for mode in MODES}
    best = {mode: min(line["validation"] for line in rounds) for mode, rounds in found.items()}
    assert best["quantile"] == pytest.approx(best["in_memory"], rel=0.02)
    assert best["external"] == pytest.approx(best["in_memory"], rel=0.02)
    assert not matrix.PAGES.exists() or not list(matrix.PAGES.iterdir()), "pages go with their matrices"


def test_batches_teach_the_preprocessing_what_all_rows_teach_it(tmp_path, schemas, synthetic):
    rows = parts(tmp_path, schemas["binary"], "binary", synthetic)["train"]
    whole, learnt = (build(rows.schema, "binary", "xgboost", 1)["features"] for _ in range(2))
    taken, truth = rows.all()
    expected = whole.fit_transform(taken)
    learn(learnt, rows, rows.values())
    made = [rows.split(table) for table in rows.batches(300)]
    assert max(len(labels) for _, labels in made) <= 300
    numpy.testing.assert_array_equal(numpy.concatenate([learnt.transform(batch) for batch, _ in made]), expected)
    numpy.testing.assert_array_equal(numpy.concatenate([labels for _, labels in made]), truth)
    sizes = matrix.size({"train": rows}, rows.values())
    assert (sizes.rows, sizes.columns) == expected.shape


@pytest.mark.parametrize(("start", "stop"), [(0, 2_000), (0, 1), (650, 1_450), (700, 1_400), (1_999, 2_000)])
def test_a_slice_is_those_rows(tmp_path, schemas, synthetic, start, stop):
    rows = parts(tmp_path, schemas["binary"], "binary", synthetic)["train"]
    taken, truth = rows.all()
    sliced, labels = rows.slice(start, stop)
    assert sliced.equals(taken[start:stop].reset_index(drop=True))
    numpy.testing.assert_array_equal(labels, truth[start:stop])


def test_a_preprocessing_that_must_see_all_rows_is_not_taught_by_batches(tmp_path, schemas, synthetic):
    rows = parts(tmp_path, schemas["binary"], "binary", synthetic)["train"]
    features = build(rows.schema, "binary", "xgboost", 1)["features"]
    features.transformers = [(name, StandardScaler(), names) for name, _, names in features.transformers]
    with pytest.raises(Bad, match="must see all rows at once"):
        learn(features, rows, rows.values())


def test_leftover_pages_of_a_killed_training_go(workplace, schemas, synthetic):
    data = parts(workplace / "data", schemas["binary"], "binary", synthetic, rows=500)
    matrix.PAGES.mkdir(parents=True)
    (matrix.PAGES / "train-old").write_text("x")
    made = matrix.make(build(data["train"].schema, "binary", "xgboost", 1)["features"], data, "external", batch=100)
    assert not (matrix.PAGES / "train-old").exists()
    assert isinstance(made[0], xgboost.ExtMemQuantileDMatrix)
    assert parquet.read_metadata(data["train"].path).num_rows == made[0].num_row()
