"""Metrics agree with scikit-learn, on the rows and on resamples of them, and say NaN where they are not defined."""

import time

import numpy as np
import pytest
from sklearn import metrics as reference

from << cookiecutter.__package >> import metrics

ROWS = 400


def binary(generator, decimals=2):
    """Few distinct scores, so that there are ties."""
    truth = generator.integers(0, 2, ROWS)
    return truth, np.round(np.clip(generator.normal(0.4 + 0.2 * truth, 0.2), 0, 1), decimals)


def multiclass(generator):
    return generator.integers(0, 4, ROWS), generator.dirichlet(np.ones(4), ROWS)


def regression(generator):
    truth = generator.normal(1000, 3, ROWS)
    return truth, truth + generator.normal(size=ROWS)


MAKE = {"binary": binary, "multiclass": multiclass, "regression": regression}


def expected(task, truth, scores):
    if task == "binary":
        return {
            "auc": reference.roc_auc_score(truth, scores),
            "average_precision": reference.average_precision_score(truth, scores),
            "log_loss": reference.log_loss(truth, scores),
            "brier": reference.brier_score_loss(truth, scores),
        }
    if task == "multiclass":
        labels = np.arange(scores.shape[1])
        return {
            "macro_f1": reference.f1_score(truth, scores.argmax(axis=1), average="macro"),
            "accuracy": reference.accuracy_score(truth, scores.argmax(axis=1)),
            "log_loss": reference.log_loss(truth, scores, labels=labels),
            "brier": np.mean(((np.eye(len(labels))[truth] - scores) ** 2).sum(axis=1)),
        }
    return {
        "rmse": reference.root_mean_squared_error(truth, scores),
        "mae": reference.mean_absolute_error(truth, scores),
        "r2": reference.r2_score(truth, scores),
    }


@pytest.mark.parametrize("task", MAKE)
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(task, seed):
    truth, scores = MAKE[task](np.random.default_rng(seed))
    measured = metrics.measure(task, truth, scores)
    assert list(measured) == list(metrics.METRICS[task])
    for name, value in expected(task, truth, scores).items():
        assert measured[name] == pytest.approx(value, rel=1e-10), name


@pytest.mark.parametrize("task", MAKE)
def test_a_resample_is_the_rows_repeated(task):
    """The differences of the bootstrap are those of scikit-learn on the rows that were drawn."""
    truth, a = MAKE[task](np.random.default_rng(0))
    _, b = MAKE[task](np.random.default_rng(1))
    drawn = metrics.bootstrap(task, truth, a, b, resamples=metrics.BLOCK + 5, seed=7)
    for block, stream in enumerate(np.random.SeedSequence(7).spawn(2)):
        draw = np.random.default_rng(stream)
        for row in range(5):
            rows = draw.integers(0, ROWS, ROWS)
            one, other = expected(task, truth[rows], a[rows]), expected(task, truth[rows], b[rows])
            for name, value in one.items():
                difference = drawn[name][block * metrics.BLOCK + row]
                assert difference == pytest.approx(value - other[name], abs=1e-9), name


@pytest.mark.parametrize("task", MAKE)
def test_the_bootstrap_repeats_and_is_zero_for_one_model(task):
    truth, a = MAKE[task](np.random.default_rng(0))
    _, b = MAKE[task](np.random.default_rng(1))
    first, again = (metrics.bootstrap(task, truth, a, b, 120, seed=3) for _ in range(2))
    other = metrics.bootstrap(task, truth, a, b, 120, seed=4)
    for name in metrics.METRICS[task]:
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
        assert len(np.unique(first[name])) > 20
    assert all((drawn == 0).all() for drawn in metrics.bootstrap(task, truth, a, a, 50, seed=3).values())


def test_the_interval_covers_the_true_difference():
    """Over 40 samples the 90% interval of the difference of two RMSE misses about 4 times, not 20."""
    missed = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        truth = draw.normal(size=300)
        shared = draw.normal(size=300)
        a, b = truth + shared + 0.3 * draw.normal(size=300), truth + shared
        differences = metrics.bootstrap("regression", truth, a, b, 100, seed)["rmse"]
        low, high = metrics.interval(differences, 0.9)
        missed += not low <= np.sqrt(1.09) - 1 <= high
    assert missed <= 10


def test_calibration_error():
    truth = np.repeat([0, 1], 500)
    assert metrics.measure("binary", truth, np.full(1000, 0.5))["calibration_error"] == pytest.approx(0)
    assert metrics.measure("binary", truth, np.full(1000, 0.7))["calibration_error"] == pytest.approx(0.2)
    draw = np.random.default_rng(0)
    scores = draw.random(50_000)
    truth = draw.random(50_000) < scores
    assert metrics.measure("binary", truth, scores)["calibration_error"] < 0.01
    assert metrics.measure("binary", truth, scores**2)["calibration_error"] > 0.1
    curve = metrics.calibration(truth, scores)
    assert [point["rows"] for point in curve] == [5000] * metrics.BINS
    assert all(abs(point["score"] - point["share"]) < 0.03 for point in curve)


def test_undefined_is_nan():
    ones = metrics.measure("binary", np.ones(50, dtype=int), np.linspace(0, 1, 50))
    assert np.isnan(ones["auc"])
    assert np.isfinite(ones["brier"])
    assert np.isnan(metrics.measure("regression", np.full(9, 3.0), np.arange(9.0))["r2"])
    for task in MAKE:
        assert all(map(np.isnan, metrics.measure(task, [], []).values()))
        assert all(np.isnan(drawn).all() for drawn in metrics.bootstrap(task, [], [], [], 5, 0).values())
    few = metrics.bootstrap("binary", [0] * 20 + [1], np.linspace(0, 1, 21), np.linspace(1, 0, 21), 200, 0)
    assert np.isnan(metrics.interval(few["auc"], 0.95)).all()
    assert np.isfinite(metrics.interval(few["brier"], 0.95)).all()


@pytest.mark.parametrize("scores", [[0.1, float("nan")], [0.1, float("inf")], [0.1], [[0.5, 0.5]] * 2])
def test_scores_that_are_no_scores_are_refused(scores):
    with pytest.raises(ValueError, match="binary"):
        metrics.measure("binary", [0, 1], scores)


def test_two_thousand_resamples_of_eighty_thousand_rows():
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 80_000)
    a, b = draw.random(80_000), draw.random(80_000)
    metrics.bootstrap("binary", truth, a, b, 1, 0)
    start = time.process_time()
    metrics.bootstrap("binary", truth, a, b, 100, 0)
    spent = time.process_time() - start
    assert spent < 3, f"2,000 resamples would take {20 * spent:.0f} seconds of one core"
