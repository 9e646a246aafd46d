"""The service's contract, in process, over small graphs of every kind of task and a schema of the test's own."""

import asyncio
import json
import logging

import msgspec
import numpy
import pytest
from fronts import ROW, SECRET, called, schema
from starlette.testclient import TestClient

import service.__main__
import service.front
import service.model
from service.request import Refused
from service.service import Predictor
from << cookiecutter.__package >>.columns import Schema


@pytest.fixture
def client(front):
    with TestClient(front) as started:
        yield started


def ask(client: TestClient, *rows: dict, **more):
    return client.post("/predict", json={"rows": list(rows)}, **more)


@pytest.mark.parametrize("front", ["binary"], indirect=True)
def test_binary(client) -> None:
    answer = ask(client, ROW, {**ROW, "size": 90}).json()
    assert answer["model_version"] == "7"
    low, high = (row["probability"] for row in answer["predictions"])
    assert low == pytest.approx(1 / (1 + numpy.exp(-2.05)), abs=1e-6)
    assert high > low


@pytest.mark.parametrize("front", ["multiclass"], indirect=True)
def test_multiclass(client) -> None:
    (row,) = ask(client, ROW).json()["predictions"]
    assert row["label"] == "high"
    assert list(row["probabilities"]) == ["low", "middle", "high"]
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert 'service_predicted_label_total{label="high",model_version="7"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("front", ["regression"], indirect=True)
def test_regression(client) -> None:
    assert ask(client, ROW).json()["predictions"] == [{"value": 41.0}]
    assert 'service_prediction_bucket{le="50.0",model_version="7"} 1.0' in client.get("/metrics").text


def test_optional_fields_may_be_left_out_or_null(client) -> None:
    short = {name: value for name, value in ROW.items() if name not in ("wind", "city")}
    left_out, null = ask(client, short), ask(client, {**ROW, "wind": None, "city": None})
    assert left_out.json()["predictions"] == null.json()["predictions"]


def test_a_whole_number_may_have_a_decimal_point(client) -> None:
    answer = client.post("/predict", content=json.dumps({"rows": [{**ROW, "count": 3.0}]}))
    assert (answer.status_code, answer.json()["predictions"]) == (200, ask(client, ROW).json()["predictions"])


def test_the_graph_gets_what_the_schema_says(client, front, monkeypatch) -> None:
    seen = []

    class Recorder:
        def run(self, names, feeds):
            seen.append(feeds)
            return [numpy.zeros((2, 2), numpy.float32)]

    monkeypatch.setattr(front.model, "session", Recorder())
    rows = [ROW, {**ROW, "wind": None, "city": None, "wet": False}]
    assert ask(client, *rows).status_code == 200
    wanted = schema("binary").feeds({name: [row[name] for row in rows] for name in ROW})
    assert seen[0].keys() == wanted.keys()
    for name, array in wanted.items():
        assert seen[0][name].dtype == array.dtype
        numpy.testing.assert_array_equal(seen[0][name], array)


def test_request_id(client) -> None:
    kept = ask(client, ROW, headers={"X-Request-ID": "caller-1"})
    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "caller-1"
    for unwanted in ("", "a b", "x" * 129, "<script>"):
        made = ask(client, ROW, headers={"X-Request-ID": unwanted})
        assert made.headers["x-request-id"] == made.json()["request_id"] != unwanted
    assert ask(client, ROW).json()["request_id"] != ask(client, ROW).json()["request_id"]


FAULTS = [
    ({"size": 9}, "rows[1].size: must be a number >= 10 and <= 100"),
    ({"size": "20"}, "rows[1].size: must be a number >= 10 and <= 100"),
    ({"size": None}, "rows[1].size: must be a number >= 10 and <= 100"),
    ({"count": 1.5}, "rows[1].count: must be a whole number >= 0 and <= 9"),
    ({"count": True}, "rows[1].count: must be a whole number >= 0 and <= 9"),
    ({"wind": 1e39}, "rows[1].wind: must be a number, or null"),
    ({"wind": 10**400}, "rows[1].wind: must be a number, or null"),
    ({"colour": SECRET}, "rows[1].colour: must be one of red, blue"),
    ({"city": SECRET * 9}, "rows[1].city: must be a string of at most 64 characters, or null"),
    ({"wet": 1}, "rows[1].wet: must be true or false"),
    ({"size": [[[[]]]]}, "rows[1].size: must be a number >= 10 and <= 100"),
    ({"siez": 20}, "rows[1]: 'siez' is no feature"),
]


@pytest.mark.parametrize(("change", "problem"), FAULTS, ids=[problem for _, problem in FAULTS])
def test_faults_name_row_and_field(client, caplog, change, problem) -> None:
    caplog.set_level(logging.DEBUG)
    answer = ask(client, ROW, {**ROW, **change})
    assert answer.status_code == 422
    assert answer.json()["error"] == problem
    assert answer.json()["model_version"] == "7"
    assert SECRET not in caplog.text + answer.text
    assert "Traceback" not in caplog.text


def test_a_missing_field_is_named(client) -> None:
    answer = ask(client, {name: value for name, value in ROW.items() if name not in ("size", "colour")})
    assert answer.json()["problems"] == ["rows[0].colour: is required", "rows[0].size: is required"]


def test_many_faults_are_cut_short(client) -> None:
    problems = ask(client, *[{}] * 100).json()["problems"]
    assert len(problems) == 11
    assert problems[-1] == "and 390 more"


BODIES = [
    (b"", 400), (b"{", 400), (b"\xff\xfe", 400), (b'{"rows":[{"colour":"\xff"}]}', 400), (b"[" * 100_000, 400),
    (b'{"rows":[{"size":NaN}]}', 400), (b'{"rows":[{"size":1e999}]}', 400),
    (b'{"rows":[{"size":%s}]}' % (b"1" * 9999), 400),
    (b'{"rows":[{"city":"\\ud800"}]}', 400), (b"null", 422), (b"[]", 422),
    (b"{}", 422), (b'{"rows":[]}', 422), (b'{"rows":{}}', 422), (b'{"rows":[1]}', 422), (b'{"rows":[null]}', 422),
    (b'{"rows":[],"more":1}', 422), (b'{"rows":[' + b",".join([b"{}"] * 1001) + b"]}", 413),
    (b'{"rows":"' + b"x" * 2**20 + b'"}', 413),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code"), BODIES, ids=[body[:24].decode("ascii", "replace") for body, _ in BODIES])
def test_hostile_bodies(client, body, code) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == code
    assert answer.json().keys() == {"model_version", "request_id", "error", "problems"}
    assert f'service_requests_total{{code="{code}",model_version="7"}} 1.0' in client.get("/metrics").text


def test_method_and_type(client) -> None:
    refused = client.get("/predict")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    for path in ("/", "/docs.json", "/metrics", "/readyz"):
        refused = client.post(path)
        assert (refused.status_code, refused.headers["allow"], refused.json()["error"]) == (405, "GET, HEAD", "use GET")
        assert client.head(path).status_code == 200
    assert client.post("/predict", content=b"size=1", headers={"Content-Type": "text/plain"}).status_code == 415


def test_a_fault_of_the_model_shows_no_values(client, front, monkeypatch, caplog) -> None:
    def broken(rows):
        raise RuntimeError(f"cannot compute {rows}")

    monkeypatch.setattr(front.model, "score", broken)
    answer = ask(client, {**ROW, "city": SECRET})
    assert answer.status_code == 500
    assert SECRET not in caplog.text + answer.text
    assert answer.json()["request_id"] in caplog.text
    assert "RuntimeError" in caplog.text


def test_the_page_and_its_example(client, front) -> None:
    document = client.get("/docs.json").json()
    predict = document["paths"]["/predict"]["post"]
    example = predict["requestBody"]["content"]["application/json"]["example"]
    answer = client.post("/predict", json=example)
    assert answer.status_code == 200
    assert msgspec.json.decode(answer.content, type=front.answer).model_version == "7"
    assert document["components"]["schemas"]["Row"]["required"] == ["colour", "size", "count", "wet"]
    assert document["components"]["schemas"]["Row"]["properties"]["size"]["minimum"] == 10
    assert set(predict["responses"]) == {"200", "400", "405", "408", "413", "415", "422", "500", "503"}
    page = client.get("/")
    assert "./docs.json" in page.text
    assert "https://" not in page.text
    assert client.get("/static_content/swagger-ui-bundle.js").status_code == 200
    assert client.get("/livez").status_code == 200


def test_metrics(client) -> None:
    ask(client, ROW, ROW)
    ask(client, {})
    text = client.get("/metrics").text
    assert 'service_info{model_version="7",task="binary"} 1.0' in text
    assert 'service_requests_total{code="200",model_version="7"} 1.0' in text
    assert 'service_requests_total{code="422",model_version="7"} 1.0' in text
    assert 'service_request_seconds_count{model_version="7"} 2.0' in text
    assert 'service_prediction_count{model_version="7"} 2.0' in text


def test_ready_only_once_the_graph_has_answered(front) -> None:
    before = asyncio.run(called(front, "/readyz", "GET"))
    assert (before[0], json.loads(before[2])["state"]) == (503, "starting")
    with TestClient(front) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["state"], ready.json()["model_version"]) == (200, "ready", "7")


def test_a_graph_of_another_schema_does_not_start(front, monkeypatch, tmp_path) -> None:
    other = Schema(columns=schema("binary").columns[1:], key=("at",), time="at", label="label")
    monkeypatch.setattr(service.model, "SCHEMA", other)
    with pytest.raises(ValueError, match="exported for another schema: colour"), TestClient(front):
        pass


def test_a_process_that_cannot_serve_says_why_and_ends(front, tmp_path, caplog) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    assert service.__main__.main([]) == 1
    assert "the model cannot be served" in caplog.messages[-1]


def test_draining(client, front) -> None:
    assert "connection" not in ask(client, ROW).headers
    front.draining = True
    assert ask(client, ROW).headers["connection"] == "close"
    assert client.get("/readyz").status_code == 503


def test_another_bentoml_service_may_call_it(front) -> None:
    (row,) = Predictor().predict(rows=[ROW])
    assert 0 < row["probability"] < 1
    with pytest.raises(Refused, match=r"rows\[0\]\.size"):
        Predictor().predict(rows=[{**ROW, "size": 1}])
