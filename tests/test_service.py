"""A package of the trained default project, and real processes that serve it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import ENVIRONMENTS, copy, run, speak

HEADERS = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def judged(default_trained, tmp_path_factory) -> Path:
    """The trained project with the gate's verdict on its model."""
    project = copy(default_trained, tmp_path_factory.mktemp("judged") / "work")
    speak(project, "report", code=0)
    speak(project, "gate", code=0)
    return project


@pytest.fixture(scope="module")
def packaged(judged) -> Path:
    """The same with its package, for tests that leave it as it is."""
    if not (judged / "build" / "package.json").exists():
        speak(judged, "package", code=0)
    return judged


@pytest.fixture(scope="module")
def python(packaged) -> Path:
    """The Python of the environment that holds the group `serve` and nothing else."""
    variables = {**os.environ, "ENVIRONMENTS": str(ENVIRONMENTS / (packaged / ".python-version").read_text().strip())}
    code = "from ci.environment import prepare; print(prepare(['serve']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=packaged, env=variables, check=True, stdout=-1, text=True)
    return Path(done.stdout.strip()) / "bin" / "python"


def package(project: Path) -> dict:
    return json.loads((project / "build" / "package.json").read_text())


def rows(project: Path) -> dict:
    return json.loads((project / "build" / "rows.json").read_text())


@contextmanager
def listening():
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield listener


def start(project: Path, python: Path, listener: socket.socket, log: Path, **limits: str) -> subprocess.Popen:
    """A process of the service on a socket that it inherits; whoever connects waits until it is ready."""
    folder = project / package(project)["path"] / "src"
    variables = {"PATH": os.defpath, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **limits}
    with log.open("ab") as output:
        return subprocess.Popen(
            [python, "-m", "service", "--fd", str(listener.fileno())],
            cwd=folder, env=variables, pass_fds=[listener.fileno()], stdout=output, stderr=output,
        )  # fmt: skip


@contextmanager
def serving(project: Path, python: Path, log: Path, **limits: str):
    with listening() as listener:
        process = start(project, python, listener, log, **limits)
        try:
            yield listener.getsockname()[1], process
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0, log.read_text()


def ask(port: int, body, path: str = "/predict", method: str = "POST", timeout: float = 60) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    connection.request(method, path, None if body is None else json.dumps(body), HEADERS)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content) if content.startswith(b"{") else {"text": content.decode()}


def test_the_same_model_gives_the_same_package(judged) -> None:
    speak(judged, "package", code=0)
    first = package(judged)
    described = judged / first["path"] / "bento.yaml"
    built = described.stat().st_mtime_ns
    speak(judged, "package", code=0)
    assert package(judged) == first
    assert described.stat().st_mtime_ns == built
    with (judged / first["path"] / "src" / "service" / "model.py").open("a") as module:
        module.write("# tampered with\n")
    speak(judged, "package", code=0)
    assert package(judged) == first
    assert described.stat().st_mtime_ns > built


def test_other_code_is_another_bento_of_the_same_version(packaged) -> None:
    first, module, written = package(packaged), packaged / "service" / "model.py", packaged / "build" / "package.json"
    code, before = module.read_text(), written.read_text()
    module.write_text(code + "# changed\n")
    speak(packaged, "package", code=0)
    other = package(packaged)
    assert (other["version"], other["git_sha"]) == (first["version"], f"{first['git_sha']}-dirty")
    assert other["digest"] != first["digest"]
    module.write_text(code)
    written.write_text(before)


def test_only_a_judged_model_is_packaged(packaged) -> None:
    verdict, written = packaged / "reports" / "gate.json", packaged / "build" / "package.json"
    passed, before = verdict.read_text(), written.read_text()
    verdict.write_text(json.dumps(json.loads(passed) | {"verdict": "fail", "headline": "fail: it is worse"}))
    refused = speak(packaged, "package", code=1)
    assert "the gate has refused this model: fail: it is worse" in refused.stderr
    assert not written.exists()
    verdict.unlink()
    assert "has not judged" in speak(packaged, "package", code=2).stderr
    verdict.write_text(passed)
    written.write_text(before)


def test_it_answers_as_it_was_evaluated(packaged, python, tmp_path) -> None:
    recorded = rows(packaged)
    with serving(packaged, python, tmp_path / "log") as (port, process):
        assert ask(port, None, "/readyz", "GET") == (
            200, {"state": "ready", "model_version": package(packaged)["version"], "pid": process.pid},
        )  # fmt: skip
        status, answer = ask(port, {"rows": recorded["rows"]})
        assert (status, answer["model_version"]) == (200, package(packaged)["version"])
        for given, wanted in zip(answer["predictions"], recorded["predictions"], strict=True):
            assert given["probability"] == pytest.approx(wanted["probability"], abs=1e-5)
        document = ask(port, None, "/docs.json", "GET")[1]
        example = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert ask(port, example)[0] == 200
        status, answer = ask(port, {"rows": [*recorded["rows"][:3], {**recorded["rows"][3], "distance": -4711}]})
        assert (status, answer["error"]) == (422, "rows[3].distance: must be a number >= 10 and <= 6000")
        assert 'service_requests_total{code="422"' in ask(port, None, "/metrics", "GET")[1]["text"]
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        assert "onnxruntime" in maps
        assert not [name for name in ("pandas", "sklearn", "xgboost", "pyarrow") if name in maps]
    assert "4711" not in (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_what_the_openapi_page_says_is_so(packaged, python, tmp_path) -> None:
    """Schemathesis asks what the page allows and what it does not, and nothing of it reaches the log."""
    config, log = tmp_path / "schemathesis.toml", tmp_path / "log"
    config.write_text('[checks.negative_data_rejection]\nexpected-statuses = ["400", "405", "413", "415", "422"]\n')
    options = "--max-examples 50 --generation-deterministic --suppress-health-check all --request-timeout 60"
    with serving(packaged, python, log) as (port, _):
        assert ask(port, None, "/readyz", "GET")[0] == 200
        before = log.read_text()
        command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run", *options.split()]
        assert run([*command, f"http://127.0.0.1:{port}/docs.json"], tmp_path).returncode == 0
        logged = log.read_text().removeprefix(before).splitlines()
        assert {line.partition(" WARNING ")[2] for line in logged} <= {"Invalid HTTP request received."}
        counted = ask(port, None, "/metrics", "GET")[1]["text"]
        for code, some in ((200, True), (422, True), (500, False)):
            assert (f'service_requests_total{{code="{code}",model_version="1"}} 0.0' in counted) != some


def test_overload_is_answered_at_once(packaged, python, tmp_path) -> None:
    recorded = rows(packaged)["rows"]
    many = json.dumps({"rows": (recorded * 4)[:1000]}).encode()
    one = json.dumps({"rows": recorded[:1]}).encode()

    def question(body: bytes) -> bytes:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        return f"{head}\r\n\r\n".encode() + body

    def answer(connection: socket.socket) -> int:
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.read()
        return response.status

    with serving(packaged, python, tmp_path / "log", SERVICE_WAITING="1") as (port, _):
        assert ask(port, {"rows": recorded[:1]})[0] == 200
        connections = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(20)]
        seen = set()
        for _ in range(50):  # until small requests came while the large one was being computed
            connections[0].sendall(question(many))
            for connection in connections[1:]:
                connection.sendall(question(one))
            seen |= {answer(connection) for connection in connections}
            if seen == {200, 503}:
                break
        assert seen == {200, 503}
        assert ask(port, None, "/readyz", "GET")[0] == 200
        assert ask(port, {"rows": recorded[:1]})[0] == 200
        for connection in connections:
            connection.close()


def test_one_process_replaces_another_without_a_failed_request(packaged, python, tmp_path) -> None:
    row = {"rows": rows(packaged)["rows"][:1]}
    stop, failed, answered, told = threading.Event(), [], [0] * 8, [0] * 8

    def caller(number: int, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not stop.is_set():
            try:
                connection.request("POST", "/predict", json.dumps(row), HEADERS)
                response = connection.getresponse()
                response.read()
                answered[number] += response.status == 200
                told[number] += response.headers["Connection"] == "close"
                if response.status != 200:
                    failed.append(response.status)
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
                connection.close()

    def wait_for(condition) -> None:
        until = time.monotonic() + 60
        while not condition() and not failed:
            assert time.monotonic() < until
            time.sleep(0.01)

    with listening() as listener:
        port = listener.getsockname()[1]
        old = start(packaged, python, listener, tmp_path / "old")
        threads = [threading.Thread(target=caller, args=(number, port)) for number in range(8)]
        for thread in threads:
            thread.start()
        wait_for(lambda: min(answered) > 0)
        new = start(packaged, python, listener, tmp_path / "new")
        wait_for(lambda: "is ready in process" in (tmp_path / "new").read_text())
        old.send_signal(signal.SIGTERM)
        assert old.wait(30) == 0
        count = list(answered)
        wait_for(lambda: all(now > before for now, before in zip(answered, count, strict=True)))
        stop.set()
        for thread in threads:
            thread.join()
        new.send_signal(signal.SIGTERM)
        assert new.wait(30) == 0
    assert not failed
    assert sum(told) >= 1


def test_what_was_accepted_is_finished(packaged, python, tmp_path) -> None:
    """A request whose body is still on its way when the process is told to stop gets its answer."""
    body = json.dumps({"rows": rows(packaged)["rows"][:1]}).encode()
    with listening() as listener:
        process = start(packaged, python, listener, tmp_path / "log")
        with socket.create_connection(listener.getsockname(), 60) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body)
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # it is being read
            process.send_signal(signal.SIGTERM)
            connection.sendall(body)
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert (response.status, response.headers["Connection"]) == (200, "close")
            assert len(json.loads(response.read())["predictions"]) == 1
        assert process.wait(30) == 0


def test_bentoml_serves_the_bento(packaged, python, tmp_path) -> None:
    with listening() as free:
        port = free.getsockname()[1]
    folder = packaged / package(packaged)["path"]
    variables = {"PATH": f"{python.parent}:{os.defpath}", "BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "True"}
    command = [python, "-m", "bentoml", "serve", str(folder), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**variables, "PYTHONDONTWRITEBYTECODE": "1"}, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + 90
        while True:
            try:
                status, answer = ask(port, {"rows": rows(packaged)["rows"][:2]})
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.1)
        assert (status, answer["model_version"], len(answer["predictions"])) == (200, package(packaged)["version"], 2)
        assert 'service_requests_total{code="200"' in ask(port, None, "/metrics", "GET")[1]["text"]
        assert ask(port, {"rows": [{}]})[0] == 422
    finally:
        process.terminate()
        process.wait(30)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
