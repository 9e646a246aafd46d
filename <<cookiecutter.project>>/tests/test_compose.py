"""The target `compose`: real containers behind a real proxy, and what of it can be told without an engine."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from deployments import ROWS, Callers, until
from hosts import docker, has, imaged

from deploy.client import Client
from deploy.compose.check import lacking
from deploy.compose.host import FILE, Host
from deploy.compose.place import Compose
from deploy.compose.proxy import HEAVIEST, share, weights
from deploy.target import ROOT, Release, start
from << cookiecutter.__package >>.outcome import Bad, Unjudged

PLACE = "import time\nfrom pathlib import Path\nfrom deploy.compose.place import Compose\nplace = Compose()\n"
HELD = PLACE + "with place.store.hold('production', 'promote', 0):\n"


@pytest.fixture
def kind():
    return "compose"


@pytest.fixture
def production(place, brought):
    """Production with version 1 in two containers."""
    start(place, "production", brought("1"))
    return place


@pytest.fixture
def staging(place, brought):
    """Staging with version 1 in one container."""
    start(place, "staging", brought("1"))
    return place


@pytest.fixture
def another():
    """Start the code in a process of its own that has the place; killed at the end."""
    started = []

    def begin(code):
        command = [sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "there\n"
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def asked(place, environment, count=400):
    """The versions that answer so many requests, each on a connection of its own."""
    with Callers(place.address(environment), 4, kept=False) as callers:
        until(lambda: callers.versions.total() >= count)
    assert callers.failed == []
    return callers.versions


@pytest.mark.processes
def test_a_killed_container_loses_no_request_where_there_are_two(production):
    address, slots = production.address("production"), production.slots["production"]
    with Callers(address, 2) as kept, Callers(address, 2, kept=False) as fresh:
        until(lambda: kept.versions.total() > 100 and fresh.versions.total() > 100)
        docker("kill", "--signal", "KILL", f"{production.wanted.project('production')}-a-2")
        before = fresh.versions.total()
        until(lambda: fresh.versions.total() > before + 200)
        assert production.running("production").ready, "whoever looks brings back what Docker does not"
        until(lambda: slots.proxy.ready("a", [one.ip for one in slots.seen("a")]))
    # Of what it had in hand: an answer that has begun (the stand-in sends head and body one after the other), and with
    # a haproxy before 2.8 a connection that is reset, cannot be asked for anew.
    failed = kept.failed + fresh.failed
    assert [words for words in failed if "IncompleteRead" not in words and "Disconnected" not in words] == []
    assert len(failed) <= len(kept.threads + fresh.threads)
    assert len(slots.seen("a")) == 2


@pytest.mark.processes
def test_a_process_that_ends_is_started_again(place, brought):
    start(place, "staging", brought("1", dies=20))
    with Callers(place.address("staging"), 1):
        until(lambda: place.host.containers(place.wanted.project("staging"), "a")[0].restarts)
    until(lambda: place.running("staging").ready)
    assert place.running("staging").restarts


@pytest.mark.processes
def test_a_proxy_that_dies_divides_as_before(production, brought):
    with production.store.hold("production", "promote", 0):
        production.begin("production", brought("2"))
        assert production.share("production", 25) == 25
        docker("kill", "--signal", "KILL", f"{production.wanted.project('production')}-proxy-1")
        with pytest.raises(Bad):
            Client(production.address("production")).predict(ROWS[:1])
        other = Compose()
        assert other.running("production").ready, "whoever looks brings it back"
        assert other.running("production").share == 25
        got = asked(other, "production")
        assert 15 < 100 * got["2"] / got.total() < 35
        production.finish("production")  # and the lock, which went with the proxy, is taken again
        refused = pytest.raises(Unjudged, match="production is being changed: promote by")
        with refused, other.store.hold("production", "stop", 0):
            pass
    assert set(asked(production, "production")) == {"2"}


@pytest.mark.processes
def test_two_who_start_a_first_proxy_at_once_make_one_of_each(place):
    proxy = place.proxies["staging"]
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda _: proxy.there(), range(2)))
    assert proxy.runs()
    mine = f"label=com.docker.compose.project={proxy.project}"
    named = docker("network", "ls", "--filter", mine, "--format", "{{.Name}}").split()
    assert sorted(named) == [f"{proxy.project}_edge", f"{proxy.project}_inside"]


@pytest.mark.processes
def test_a_slot_that_is_filled_anew_is_not_ready_by_its_former_containers(staging, brought, monkeypatch):
    """A new container often gets the address of one that has just ended, and with it the proxy's good opinion."""
    slots, release, seen = staging.slots["staging"], brought("2"), []
    staging.begin("staging", release)
    assert slots.proxy.servers("b")[0]["status"].startswith("UP")
    staging.settle("staging")

    def looked(made):
        seen.extend(row["status"] for row in slots.proxy.servers(made["slot"]))
        return "that is enough"

    monkeypatch.setattr(slots, "fill", looked)
    with pytest.raises(Bad, match="that is enough"):
        staging.begin("staging", release)
    assert seen
    assert not [status for status in seen if status.startswith("UP")]


@pytest.mark.processes
def test_whoever_dies_in_the_middle_lets_go_and_can_be_followed(production, tmp_path, another, brought):
    release = brought("2")
    code = HELD + f"  place.begin('production', place.add(Path({str(tmp_path / 'package.json')!r})))\n"
    held = another(code + "  place.share('production', 50)\n  print('there', flush=True)\n  time.sleep(600)\n")
    with pytest.raises(Unjudged, match="is being changed: promote by"), production.store.hold("production", "stop", 0):
        pass
    seen = production.running("production")
    assert (seen.release.version, seen.candidate, seen.share) == ("1", release, 50)
    held.kill()
    with production.store.hold("production", "promote", 60):
        production.settle("production")
        production.settle("production")
    seen = production.running("production")
    assert (seen.release.version, seen.candidate, seen.share) == ("1", None, 0)
    assert set(asked(production, "production")) == {"1"}


@pytest.mark.processes
@pytest.mark.parametrize("after", ["begin", "share", "finish"])
def test_killed_at_each_step_and_called_again(staging, tmp_path, another, after):
    """A caller who is killed before it has noted, or ended, what it did."""
    path = imaged(tmp_path, "2")
    names = {"begin": "_note", "share": "proxies['staging'].weigh", "finish": "slots['staging'].end"}
    code = PLACE + "def stand(*_, **__):\n  print('there', flush=True)\n  time.sleep(600)\n"
    code += f"release = place.add(Path({str(path)!r}))\n"
    code += "place.begin('staging', release)\n" if after != "begin" else ""
    code += f"place.{names[after]} = stand\n"
    code += {"begin": "place.begin('staging', release)", "share": "place.share('staging', 50)"}.get(
        after, "place.finish('staging')"
    )
    another(code).kill()
    staging.settle("staging")
    expected = "2" if after == "finish" else "1"
    assert (staging.running("staging").release.version, set(asked(staging, "staging"))) == (expected, {expected})
    assert sum(len(staging.slots["staging"].seen(slot)) for slot in "ab") == 1
    start(staging, "staging", staging.add(path))
    assert set(asked(staging, "staging")) == {"2"}


@pytest.mark.processes
def test_what_is_stopped_is_remembered_and_what_is_removed_comes_back(staging):
    address = staging.address("staging")
    docker("rm", "--force", f"{staging.wanted.project('staging')}-a-1")
    assert staging.running("staging").ready, "whoever looks brings it back"
    with staging.store.hold("staging", "stop", 0):
        assert staging.stop("staging")
        assert not staging.stop("staging")
    seen = staging.running("staging")
    assert (seen.release.version, seen.alive, seen.ready) == ("1", False, False)
    port = int(address.rpartition(":")[2])
    socket.create_server(("127.0.0.1", port)).close()
    docker("rm", "--force", f"{staging.wanted.project('staging')}-proxy-1")
    assert staging.running("staging").release.version == "1", "the volume knows it"
    start(staging, "staging", seen.release)
    assert (staging.address("staging"), set(asked(staging, "staging"))) == (address, {"1"})


@pytest.mark.processes
def test_a_taken_port_is_named(place, brought):
    port = place.wanted.port("staging")
    taken = pytest.raises(Unjudged, match=f"127.0.0.1:{port} of the host is taken")
    with socket.create_server(("127.0.0.1", port)), taken:
        start(place, "staging", brought("1"))


@pytest.mark.processes
def test_the_containers_are_confined(staging):
    name = f"{staging.wanted.project('staging')}-a-1"
    seen = json.loads(docker("inspect", name))[0]
    assert json.loads(seen["Config"]["Labels"]["release"])["version"] == "1"
    reach = "import socket; socket.create_connection(('1.1.1.1', 443), 3)"
    for tried in ("open('/app/x', 'w')", reach):
        assert not has("exec", name, "python", "-c", tried)
    assert has("exec", name, "python", "-c", "open('/tmp/x', 'w')")
    status = docker("exec", name, "cat", "/proc/1/status")
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


@pytest.mark.processes
def test_images_that_nobody_needs_go(staging, brought):
    first = staging.running("staging").release
    second = brought("2")
    start(staging, "staging", second)
    docker("rm", "--force", f"{staging.wanted.project('staging')}-a-1")
    staging.forget_others([second])
    assert (staging.kept(first), staging.kept(second)) == (False, True)
    with pytest.raises(Unjudged, match="is not on the host, and in no registry"):
        start(staging, "staging", first)
    assert set(asked(staging, "staging")) == {"2"}


@pytest.mark.processes
def test_an_image_whose_registry_is_down_cannot_be_judged(staging):
    release = Release("2", "sha256:2", "", "", "", f"localhost:1/team/model@sha256:{'0' * 64}")
    with pytest.raises(Unjudged, match="the registry localhost:1 does not answer"):
        start(staging, "staging", release)
    assert staging.running("staging").ready


def test_a_package_without_an_image_is_refused(tmp_path, monkeypatch):
    from deployments import package

    monkeypatch.setenv("DEPLOYMENTS", str(tmp_path / "deployments"))
    with pytest.raises(Unjudged, match="has no image"):
        Compose().add(package(tmp_path, "1"))


@pytest.mark.skipif(not has("--version"), reason="there is no Docker client")
def test_an_engine_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(Unjudged, match=rf"the engine at unix://{tmp_path}/docker.sock does not answer"):
        Compose().running("staging")


def test_no_docker(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unjudged, match="there is no docker on PATH"):
        Compose().running("staging")


@pytest.mark.skipif(not has("--version"), reason="there is no Docker client")
def test_an_old_compose_is_refused(tmp_path, monkeypatch):
    plugin = tmp_path / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir()
    described = '{"SchemaVersion": "0.1.0", "Vendor": "test", "Version": "2.1.0"}'
    plugin.write_text(f"#!/bin/sh\n[ \"$1\" = docker-cli-plugin-metadata ] && echo '{described}' || echo 2.1.0\n")
    plugin.chmod(0o755)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(Unjudged, match=r"Docker's compose is 2\.1\.0 here"):
        Host().tried()


def test_a_pipeline_is_told_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.delenv("IMAGE_REGISTRY", raising=False)
    (registry, where), (engine, _) = lacking("Settings", hosted=False)
    assert registry.startswith("IMAGE_REGISTRY")
    assert "Settings" in where
    assert engine.startswith("an engine for the target `compose`: the engine at")
    monkeypatch.setenv("IMAGE_REGISTRY", "registry.example.org/team")
    assert lacking("Settings", hosted=True) == []


def test_a_host_elsewhere_has_to_listen_where_callers_are(monkeypatch):
    monkeypatch.setenv("DEPLOY_HOST", "box.example.org")
    with pytest.raises(Unjudged, match=r"on box\.example\.org the proxy would listen on 127\.0\.0\.1"):
        Compose().begin("staging", Release("1", "sha256:1", "", "", ""))


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [("unix:///run/docker.sock", "127.0.0.1"), ("ssh://deploy@box.example.org:2222", "box.example.org"),
     ("tcp://10.0.0.7:2376", "10.0.0.7")],
)  # fmt: skip
def test_callers_reach_the_host_of_the_endpoint(endpoint, name, monkeypatch):
    monkeypatch.setattr(Host, "do", lambda *_, **__: f"{endpoint}\n")
    assert Host().name() == name


@pytest.mark.parametrize("percent", [0, 2, 5, 10, 25, 33, 50, 90, 98, 100])
@pytest.mark.parametrize(("new", "old"), [(1, 1), (2, 2), (1, 3), (8, 2)])
def test_weights_are_as_near_to_the_share_as_haproxy_can(percent, new, old):
    counted = {"b": new, "a": old}
    weighed = weights(percent, "b", counted)
    assert all(0 <= weight <= HEAVIEST for weight in weighed.values())
    assert share(weighed, "b", counted) == pytest.approx(percent, abs=0.05)


def test_a_share_below_what_haproxy_can_is_the_smallest_that_it_can():
    weighed = weights(0.01, "b", {"a": 1, "b": 1})
    assert (weighed, round(share(weighed, "b", {"a": 1, "b": 1}), 2)) == ({"a": HEAVIEST, "b": 1}, 0.39)


def test_a_first_release_gets_everything():
    assert weights(100, "a", {"a": 2}) == {"a": 1, "b": 0}


def test_nothing_of_the_callers_disk_is_mounted_and_nothing_but_the_proxy_is_published():
    services = yaml.safe_load(FILE.read_text())["services"]
    assert set(services) == {"a", "b", "proxy"}
    for name, service in services.items():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(volume.startswith("state:") for volume in service.get("volumes", []))
        assert ("ports" in service) == (name == "proxy")
