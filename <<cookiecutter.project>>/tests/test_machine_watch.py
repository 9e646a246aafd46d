"""What is sampled while a training runs, and what becomes of it."""

import time

import pytest
from comparisons import made, verdict

from ci.compare.markdown import render
from ci.machine import cost, devices, journal, watch


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal.begin("run", ["cpu"])


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_samples_and_output_are_on_the_disk_while_it_runs():
    with watch.Watch(gpu=False, every_s=0.01, silence_s=60) as watching:
        watching.heard("train: round 20 of 400, loss 0.5\n")
        until(lambda: len(watch.rows()) > 1)
        assert journal.OUTPUT.read_text() == "train: round 20 of 400, loss 0.5\n"
    row = watch.rows()[-1]
    assert row.keys() == {"seconds", "host_mb", "processes_mb", "disk_free_mb"}
    assert row["host_mb"] > 0


def test_a_silent_training_shows_that_it_lives(capsys):
    with watch.Watch(gpu=False, every_s=0.01, silence_s=0) as watching:
        watching.heard("train: round 20 of 400, loss 0.5\n")
        said = []
        until(lambda: said.append(capsys.readouterr().out) or "round 20 of 400" in "".join(said))
    line = next(line for line in "".join(said).splitlines() if "round 20" in line)
    assert line.startswith("train: still training, round 20 of 400, 0 min, ")
    assert line.endswith("GiB of the host")


def test_a_training_that_speaks_is_not_talked_over(capsys):
    with watch.Watch(gpu=False, every_s=0.01, silence_s=60):
        until(lambda: len(watch.rows()) > 2)
    assert capsys.readouterr().out == ""


def test_a_torn_sample_is_left_out():
    journal.SAMPLES.write_text("seconds,host_mb,gpu0_busy\n0.0,100,\n5.0,200,40\n10.0,30")
    assert watch.rows() == [{"seconds": 0.0, "host_mb": 100.0}, {"seconds": 5.0, "host_mb": 200.0, "gpu0_busy": 40.0}]


def test_the_summary():
    rows = [
        {"seconds": 0.0, "host_mb": 100.0, "disk_free_mb": 50.0, "gpu0_mb": 1.0},
        {"seconds": 5.0, "host_mb": 300.0, "disk_free_mb": 40.0, "gpu0_mb": 7.0, "gpu0_busy": 30.0},
        {"seconds": 10.0, "host_mb": 200.0, "disk_free_mb": 60.0, "gpu0_mb": 3.0, "gpu0_busy": 61.0},
    ]
    expected = {"peak_host_mb": 300.0, "least_disk_free_mb": 40.0, "peak_gpu0_mb": 7.0, "mean_gpu0_busy": 45.5}
    assert watch.summary(rows) == expected
    assert watch.summary([]) == {}


def test_the_cost_belongs_to_one_model(tmp_path):
    (tmp_path / "reports").mkdir()
    assert cost.cost("model") == {}
    journal.SAMPLES.write_text("seconds,host_mb\n0.0,100\n")
    cost.keep("model")
    assert cost.cost("another") == {}
    kept = cost.cost("model")
    assert (kept["peak_host_mb"], kept["devices"]) == (100.0, ["cpu"])


def test_the_report_tells_the_cost():
    numbers, _ = made("binary")
    said = "; 1,200 MB of gpu0 at the peak, 62 % busy on average; 4,096 MB of the machine in use at the peak."
    assert said in render(numbers, verdict("binary"))
    assert "at the peak, best round 7 of 9.\n" in render(numbers | {"machine": {}}, verdict("binary"))


@pytest.mark.gpu
@pytest.mark.skipif(not devices.library(), reason="no NVIDIA driver is loaded here")
def test_the_gpu_is_sampled():
    with watch.Watch(gpu=True, every_s=0.01):
        until(lambda: len(watch.rows()) > 1)
    assert watch.rows()[-1]["gpu0_mb"] > 0
