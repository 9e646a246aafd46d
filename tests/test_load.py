"""`load` through its public word, against services whose faults are chosen: objectives met, missed, and unjudged."""

import json
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import copy, render, speak

DOUBLE = Path(__file__).with_name("double.py")
VERSION = "3"
ROWS = 200


@contextmanager
def service(**faults):
    """The address of a service with these faults."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(DOUBLE), str(port), json.dumps(faults)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="session")
def small_load(tmp_path_factory) -> Path:
    """A project with rows and predictions as `package` leaves them, and objectives for a few seconds of load."""
    made = render(tmp_path_factory.mktemp("load"))
    gates = yaml.safe_load((made / "gates.yaml").read_text())
    gates["load"] |= {"rate": 200, "duration_s": 2, "warmup_s": 0.5, "timeout_s": 1, "minimum_requests": 200}
    gates["load"] |= {"p95_ms": 60, "p99_ms": 200, "error_ratio": 0.01, "achieved": 0.9}
    gates["load"]["champion"] |= {"minimum_requests": 50, "allowance_ms": 15}
    (made / "gates.yaml").write_text(yaml.safe_dump(gates))
    example = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "month": 1, "weekday": 2, "hour": 5, "distance": 1400}
    rows = [example | {"minute": number % 60} for number in range(ROWS)]
    (made / "build").mkdir()
    predictions = [{"probability": row["minute"] / 100} for row in rows]
    (made / "build" / "rows.json").write_text(json.dumps({"rows": rows, "predictions": predictions}))
    return made


@pytest.fixture
def load(small_load, tmp_path):
    """`load(code, address, *arguments)` runs the word on a private copy; returns what it said and its report."""

    def run(code: int, address: str, *arguments: str, version: str = VERSION) -> tuple[str, dict | None]:
        project = copy(small_load, tmp_path / "load")
        done = speak(project, "load", "--on", address, "--version", version, *arguments, code=code)
        report = project / "reports" / "load.json"
        page = project / "reports" / "load.html"
        assert page.exists() == report.exists()
        if page.exists():
            assert 'src="http' not in page.read_text()
            assert 'href="http' not in page.read_text()
        return done.stdout + done.stderr, json.loads(report.read_text()) if report.exists() else None

    return run


def missed(report: dict) -> list[str]:
    return [one["name"] for one in report["objectives"] if not one["met"]]


def test_a_good_service_passes_beside_a_good_champion(load):
    with service() as address, service() as champion:
        said, report = load(0, address, "--champion", champion)
    assert "left, " in said
    assert f"beside the champion at {champion}" in said
    assert report["verdict"] == "pass"
    assert report["errors"] == 0
    assert 360 <= report["requests"] <= 410  # 200 a second for 2 s; nothing of the warm-up
    assert 75 <= report["champion"]["requests"] <= 130  # about a quarter
    assert report["p50_ms"] <= report["p95_ms"] <= report["p99_ms"] <= report["max_ms"]
    assert "p95 beside the champion" in [one["name"] for one in report["objectives"]]


def test_a_slow_service_fails(load):
    with service(delay_ms=80) as address:
        said, report = load(1, address)
    assert "beside no champion: production runs nothing" in said
    assert "load: p95 is " in said
    assert report["verdict"] == "fail"
    assert "p95" in missed(report)
    assert report["errors"] == 0


def test_a_service_slower_than_its_champion_fails(load):
    with service(delay_ms=40) as address, service() as champion:
        _, report = load(1, address, "--champion", champion)
    assert missed(report) == ["p95 beside the champion"]


@pytest.mark.parametrize(
    ("faults", "objective", "kind"),
    [
        pytest.param({"errors": 50}, "error ratio", "status 500", id="errors at 2%"),
        pytest.param({"wrong": 150}, "wrong answers", "wrong: not the recorded prediction", id="few wrong"),
        pytest.param({"predictions": 0}, "wrong answers", "wrong: another number of predictions", id="empty"),
        pytest.param({"ends": 400}, "error ratio", "no answer", id="dies under load"),
        pytest.param({"silent": 400}, "error ratio", "no answer", id="falls silent under load"),
    ],
)
def test_a_service_that_answers_wrongly_or_not_fails(load, faults, objective, kind):
    with service(**faults) as address:
        _, report = load(1, address)
    assert report["verdict"] == "fail"
    assert objective in missed(report)
    assert any(one.startswith(kind) for one in report["kinds"])


def test_a_generator_that_cannot_keep_up_judges_nothing(load):
    with service() as address:
        said, report = load(2, address, "--rate", "50000", "--users", "50")
    assert "the load generator is saturated" in said
    assert report["verdict"] == "inconclusive"
    assert "achieved of asked rate" in missed(report)


def test_too_few_requests_judge_nothing(load):
    with service() as address, service(refuses=True) as other:
        said, report = load(2, address, "--rate", "20", "--champion", other)
    assert f"beside no champion: {other} answers 422 to these requests" in said
    assert "requests are too few, 200 are asked for" in said
    assert report["verdict"] == "inconclusive"
    assert 30 <= report["requests"] <= 50


def test_another_version_judges_nothing(load):
    with service() as address:
        said, report = load(2, address, version="4")
    assert "version 3 answers at" in said
    assert report is None


def test_another_version_under_load_judges_nothing(load):
    with service(version="4") as address:
        said, report = load(2, address)
    assert "another release answers: 4 answered" in said
    assert report["verdict"] == "inconclusive"


def test_a_dead_service_judges_nothing(load):
    with service() as address:
        pass
    said, report = load(2, address)
    assert "does not answer" in said
    assert report is None


def test_an_environment_without_a_release_judges_nothing(small_load):
    done = speak(small_load, "load", code=2)
    assert "staging runs nothing" in done.stderr
