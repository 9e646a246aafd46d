import asyncio
import json
import os
import signal
import socket
import threading
from functools import partial
from pathlib import Path

import deployments
import psutil
import pytest
from deployments import ROWS, package

from deploy.client import Client
from deploy.process import worker
from deploy.store import Files, read, state
from deploy.target import start
from << cookiecutter.__package >>.outcome import Bad, Unjudged

pytestmark = pytest.mark.processes
until = partial(deployments.until, limit_s=20)


def pid(place):
    with Client(place.address("staging")) as client:
        return client.predict(ROWS[:1])[1]["pid"]


def supervisor():
    return int(state("staging", "supervisor.pid").read_text())


def gone(number):
    return not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def staged(place, tmp_path):
    """Staging with version 1."""
    start(place, "staging", place.add(package(tmp_path, "1")))
    return place


def test_a_killed_worker_comes_back(staged):
    first = pid(staged)
    os.kill(first, signal.SIGKILL)
    assert pid(staged) != first  # the connection waits for the next worker
    until(lambda: staged.running("staging").restarts == 1)


def test_a_worker_that_hangs_is_killed_and_comes_back(place, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PROBE_S", 0.2)
    release = place.add(package(tmp_path, "1"))
    (tmp_path / "logs").mkdir()

    async def hang():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            one = worker.Worker(tmp_path, listener, place._spec("staging", release), asyncio.Event())
            await one.start()
            await one.ready()
            first = one.process.pid
            os.kill(first, signal.SIGSTOP)
            while one.process.pid == first:
                await asyncio.sleep(0.02)
            await one.stop()
        assert one.restarts == 1

    asyncio.run(asyncio.wait_for(hang(), 30))


def test_a_killed_supervisor_is_noticed_and_replaced(staged, capsys):
    first, orphan = supervisor(), pid(staged)
    os.kill(first, signal.SIGKILL)
    until(lambda: not worker.held(state("staging", "supervisor.pid")))  # its last thread drops the lock
    assert pid(staged) == orphan, "the service lives on without its supervisor"
    running = staged.running("staging")
    assert "its supervisor was killed" in capsys.readouterr().err
    assert (running.release.version, running.ready) == ("1", True)
    assert supervisor() != first
    assert pid(staged) != orphan
    assert gone(orphan)


def test_a_stale_pid_file_that_names_a_living_stranger_harms_nobody(staged, tmp_path):
    """After a reboot the numbers in the files belong to others."""
    staged.stop("staging")
    state("staging", "supervisor.pid").write_text(str(os.getpid()))
    (state("staging", "workers") / str(os.getpid())).touch()
    assert staged.running("staging").ready
    start(staged, "staging", staged.add(package(tmp_path, "2")))
    assert staged.running("staging").release.version == "2"


def test_a_taken_port_is_named_with_its_holder(place, tmp_path):
    release = place.add(package(tmp_path, "1"))
    with socket.create_server(("127.0.0.1", place.port("staging"))):
        with pytest.raises(Unjudged, match=rf"port {place.port('staging')} is taken by .*process {os.getpid()} "):
            start(place, "staging", release)
        assert leftovers() == []
    start(place, "staging", release)


def test_a_port_that_was_set_anew_counts_from_the_next_deployment(staged, tmp_path, monkeypatch):
    before = staged.address("staging")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("STAGING_PORT", str(port))
    assert (staged.address("staging"), staged.running("staging").ready) == (before, True)
    start(staged, "staging", staged.add(package(tmp_path, "2")))
    assert staged.address("staging") == f"http://127.0.0.1:{port}"
    assert pid(staged)
    assert not Client(before).ready()


def test_a_release_whose_port_was_taken_meanwhile_is_seen_as_stopped(staged, capsys):
    staged.stop("staging")
    state("staging", "supervisor.pid").touch()
    with socket.create_server(("127.0.0.1", staged.port("staging"))):
        assert not staged.running("staging").alive
    assert "is taken by" in capsys.readouterr().err


def test_stop_leaves_nothing_behind(staged):
    processes = [supervisor(), pid(staged)]
    assert staged.stop("staging")
    assert all(map(gone, processes))
    assert leftovers() == []
    socket.create_server(("127.0.0.1", staged.port("staging"))).close()
    assert not staged.running("staging").alive
    assert not staged.stop("staging")


def leftovers() -> list[str]:
    here = state("staging")
    names = [path.name for path in here.rglob("*") if path.is_file() and path.parent.name != "logs"]
    return sorted(set(names) - {"lock", "release.json"})


def test_stop_finishes_what_was_accepted(place, tmp_path):
    start(place, "staging", place.add(package(tmp_path, "1", slow=0.5)))
    with Client(place.address("staging")) as client:
        client.connection.request("POST", "/predict", json.dumps({"rows": ROWS[:1]}))
        answer = client.connection.getresponse()  # its head; the body follows later
        place.stop("staging")
        assert json.loads(answer.read())["model_version"] == "1"


def test_a_changed_package_is_refused(place, tmp_path):
    path = package(tmp_path, "1")
    (Path(read(path)["path"]) / "src" / "behaviour.json").write_text("{} ")
    with pytest.raises(Bad, match="the package is not what it says"):
        place.add(path)
    assert not list(state("releases").iterdir())


def test_no_package(place, tmp_path):
    with pytest.raises(Unjudged, match="there is no package"):
        place.add(tmp_path / "package.json")


def test_what_the_caller_knows_does_not_reach_the_service(place, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    start(place, "staging", place.add(package(tmp_path, "1")))
    for number in (supervisor(), pid(place)):
        assert "a-secret" not in str(psutil.Process(number).environ())


def test_logs_are_bounded(staged, tmp_path):
    log = Path(staged.logs("staging"))
    most = staged.settings["logs"]["bytes"]
    for _ in range(5):
        with log.open("a") as file:
            file.write("x" * (most + 1))
        os.kill(supervisor(), signal.SIGHUP)
        until(lambda: log.stat().st_size < most)
    assert len(list(log.parent.glob("service.log.*"))) == staged.settings["logs"]["files"]


def test_former_releases_are_forgotten(staged, tmp_path):
    first = staged.running("staging").release
    second = staged.add(package(tmp_path, "2"))
    staged.forget_others([second])
    assert (staged.kept(first), staged.kept(second)) == (False, True)


def test_the_second_waits(place, capsys):
    def second():
        with Files().hold("staging", "deploy", 20):
            pass

    with Files().hold("staging", "stop", 0):
        waiting = threading.Thread(target=second)
        waiting.start()
        until(lambda: "deploy: staging is being changed: stop by" in capsys.readouterr().err)
    waiting.join()
